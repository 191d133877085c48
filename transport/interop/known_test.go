package interop

// unlike lists the conversations that are not the same through the relay, and
// why.
var unlike = map[string]string{
	"threeParties":   "the reference forgets to release a promise that was passed on; the relay does not",
	"unknownMessage": violationText,
	"notJSON":        violationText,
	"unknownExport":  violationText,
	"binary":         violationText,
}

// unlikeTheTarget lists the same for the TestTarget.
var unlikeTheTarget = map[string]string{
	"calls":         "objects that went through a Go value have their keys in order",
	"absentMethods": "an absent method is told of in other words",
}

const violationText = "the relay finds the violation, and tells of it in other words"
