package pipeline

import (
	"context"
	"errors"
	"strings"

	"github.com/catalyst/orchestrator/fsm"
)

const (
	dataChannel  = "dataChannel"
	protocolList = "tcp, udp, http, http:graphql, http:grpc, tcp:graphql"
)

// Both route table plugins answer these, each for its protocols.
func dataChannelActions() []string {
	return []string{"dataChannel/create", "dataChannel/update", "dataChannel/upsert", "dataChannel/delete"}
}

// graphQL tells whether an action on a dataChannel is about a service that
// goes through the gateway. It looks no further than it must: data that is
// wrong is refused where it is read whole.
func (a Action) graphQL() bool {
	o, err := objectAt("data", a.Data)
	if err != nil {
		return false
	}
	if a.Action == "delete" {
		id, _ := o.optionalText("id")
		return protocolOf(fsm.NormalID(id)).GraphQL()
	}
	protocol, _ := o.optionalText("protocol")
	return protocolOf(fsm.NormalID("x:" + protocol)).GraphQL()
}

// protocolOf is the protocol in a normal id, which follows the name.
func protocolOf(id string) fsm.Protocol {
	_, protocol, _ := strings.Cut(id, ":")
	return fsm.Protocol(protocol)
}

// commitDataChannel turns the action into its command and commits it.
func (c *Context) commitDataChannel(ctx context.Context) (Result, error) {
	op, err := c.Action.routeOp()
	if err != nil {
		return Result{}, err
	}
	return c.Propose(ctx, op)
}

func (a Action) routeOp() (fsm.Op, error) {
	o, err := objectAt("data", a.Data)
	if err != nil {
		return nil, err
	}
	if a.Action == "delete" {
		id, err := o.routeID()
		return fsm.Delete{ID: id}, err
	}
	service, err := o.service()
	if err != nil {
		return nil, err
	}
	return fsm.Put{Mode: a.mode(), Service: service}, nil
}

// mode is how the action treats what is there already.
func (a Action) mode() fsm.Mode {
	switch a.Action {
	case "create":
		return fsm.Create
	case "update":
		return fsm.Update
	default:
		return fsm.Upsert
	}
}

// service reads a DataChannel and checks it as the table will.
func (o object) service() (fsm.Service, error) {
	s, err := o.rawService()
	if err != nil {
		return s, err
	}
	s, err = s.Validate()
	return s, o.within(err)
}

// within puts the object's path before the field that a refusal of the table
// names.
func (o object) within(err error) error {
	var r *fsm.Refusal
	if errors.As(err, &r) {
		return &fsm.Refusal{Code: r.Code, Message: o.path + "." + r.Message}
	}
	return err
}

// rawService reads a DataChannel by its types alone.
func (o object) rawService() (s fsm.Service, err error) {
	if s.Name, err = o.text("name", "give the service a name, such as books"); err != nil {
		return s, err
	}
	if s.Endpoint, err = o.text("endpoint", "give an absolute URL, such as http://books:8080/graphql"); err != nil {
		return s, err
	}
	protocol, err := o.text("protocol", "use one of "+protocolList)
	if err != nil {
		return s, err
	}
	s.Protocol = fsm.Protocol(protocol)
	if s.Region, err = o.optionalText("region"); err != nil {
		return s, err
	}
	s.Tags, err = o.textMap("tags")
	return s, err
}

// routeID reads the id of a DataChannel that is to be deleted.
func (o object) routeID() (string, error) {
	id, err := o.text("id", "give the service's id, such as books:http:graphql")
	if err != nil {
		return "", err
	}
	id = fsm.NormalID(id)
	name, protocol, _ := strings.Cut(id, ":")
	for _, p := range fsm.Protocols() {
		if name != "" && string(p) == protocol {
			return id, nil
		}
	}
	return "", invalid("%s: %s is not a name and a protocol; use an id such as books:http:graphql, with one of the protocols %s", o.at("id"), quote(id), protocolList)
}
