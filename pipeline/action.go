package pipeline

import (
	"cmp"
	"strings"

	"github.com/catalyst/orchestrator/fsm"
)

// Action is what a client asks for. Data is what its resource and action need;
// the plugin that handles it reads it.
type Action struct {
	Resource  string `json:"resource"`
	Action    string `json:"action"`
	Data      any    `json:"data"`
	RequestID string `json:"requestId,omitempty"` // at most fsm.MaxRequestID bytes; makes a retry safe
}

// String is the action's kind as the contract writes it: dataChannel/create.
func (a Action) String() string { return clip(a.Resource, 80) + "/" + clip(a.Action, 80) }

// in tells whether the action is one of these kinds, "resource/action".
func (a Action) in(kinds []string) bool {
	for _, kind := range kinds {
		if resource, action, _ := strings.Cut(kind, "/"); resource == a.Resource && action == a.Action {
			return true
		}
	}
	return false
}

// DecodeAction reads what a client sent: an object decoded to a map, an Action,
// or a struct with an Action's JSON keys. The older spellings resourceAction
// (of the key action) and localRoute (of the resource dataChannel) are
// replaced; unknown keys are ignored. The refusal, if it is not nil, is the
// answer to the client; it names the field. Whether resource and action exist
// is for the Pipeline to say.
func DecodeAction(v any) (Action, *Result) {
	a, err := readAction(v)
	return a, refusal(err)
}

// DataID reads the id from the data of an action that needs nothing else.
func DataID(a Action) (string, *Result) {
	o, err := objectAt("data", a.Data)
	if err != nil {
		return "", refusal(err)
	}
	id, err := o.text("id", "say which one is meant")
	return id, refusal(err)
}

func readAction(v any) (Action, error) {
	if a, ok := v.(Action); ok {
		return a.normal()
	}
	o, err := objectAt("", v)
	if err != nil {
		return Action{}, err
	}
	a := Action{Data: o.fields["data"]}
	if a.Resource, err = o.optionalText("resource"); err != nil {
		return Action{}, err
	}
	if a.Action, err = o.verb(); err != nil {
		return Action{}, err
	}
	if a.RequestID, err = o.optionalText("requestId"); err != nil {
		return Action{}, err
	}
	return a.normal()
}

// verb is the action's action, under either key.
func (o object) verb() (string, error) {
	verb, err := o.optionalText("action")
	if err != nil {
		return "", err
	}
	older, err := o.optionalText("resourceAction")
	if err != nil {
		return "", err
	}
	if verb != "" && older != "" && verb != older {
		return "", invalid("action: is %s but resourceAction is %s; send one of them", quote(verb), quote(older))
	}
	return cmp.Or(verb, older), nil
}

func (a Action) normal() (Action, error) {
	if a.Resource == "localRoute" {
		a.Resource = "dataChannel"
	}
	if n := len(a.RequestID); n > fsm.MaxRequestID {
		return Action{}, invalid("requestId: has %d bytes; use at most %d", n, fsm.MaxRequestID)
	}
	return a, nil
}
