package interop

// unlike lists the conversations that are not yet the same through the relay,
// and why.
var unlike = map[string]string{
	"keyOrder":              keyOrder,
	"many":                  keyOrder,
	"errorValues":           keyOrder,
	"thrownErrors":          keyOrder,
	"rawFrames":             keyOrder,
	"map":                   keyOrder,
	"batch":                 keyOrder,
	"batchRequests":         keyOrder,
	"loneSurrogates":        "a string in Go cannot hold half a character",
	"thrownValues":          thrownValue,
	"batchWithThrownValues": thrownValue,
	"serverAbortsWithAText": thrownValue,
	"stacks":                "a stack is not sent on",
	"urls":                  noWebTypes,
	"headers":               noWebTypes,
	"requests":              noWebTypes,
	"requestBodies":         noWebTypes,
	"responses":             noWebTypes,
	"responseBodies":        noWebTypes,
	"blobs":                 noWebTypes,
	"readableAsArgument":    noStreams,
	"readableAsResult":      noStreams,
	"readableThatFails":     noStreams,
	"readableCancelled":     noStreams,
	"readableNeverRead":     noStreams,
	"writableAsArgument":    noStreams,
	"writableAsResult":      noStreams,
	"writableThatFails":     noStreams,
	"pace":                  noStreams,
	"stubsInStreams":        noStreams,
	"threeParties":          "the relay releases a promise's result as soon as it has it, also when the client holds the promise",
	"whoMayCallTheClient":   "the target's session has no main object to offer",
	"clientAborts":          abortCode,
	"serverAborts":          abortCode,
	"unknownMessage":        violationText,
	"notJSON":               violationText,
	"unknownExport":         violationText,
	"binary":                violationText,
}

// unsettled lists the conversations that differ at times: the answer to a
// peer's goodbye can be lost when package ws writes something else just then.
var unsettled = map[string]bool{
	"clientIsCut": true, "serverIsCut": true, "clientCloses": true, "clientClosesWithoutACode": true,
	"clientClosesWithItsOwn": true, "serverCloses": true, "serverClosesWithItsOwn": true,
	"clientDisposesOfMain": true, "serverDisposesOfMain": true, "lastWords": true,
}

// unlikeTheTarget lists the same for the TestTarget.
var unlikeTheTarget = map[string]string{
	"calls":         keyOrder,
	"absentMethods": "an absent method is told of in other words",
	"counterValue":  "targets have no properties",
	"blob":          noWebTypes,
}

const (
	keyOrder      = "objects come out with their keys sorted"
	thrownValue   = "what is thrown and no error becomes one"
	noWebTypes    = "this type is not supported"
	noStreams     = "streams are not supported"
	abortCode     = "whoever gets an abort closes with 1000 instead of 3000 and the reason"
	violationText = "the relay finds the violation, and tells of it in other words"
)
