package pipeline

import (
	"context"
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
)

// AuthPlugin checks the identity against every action, and halts the pipeline
// at what it may not do. A resource that it does not know needs an admin.
type AuthPlugin struct{}

// Name returns "AuthPlugin".
func (AuthPlugin) Name() string { return "AuthPlugin" }

// Apply lets an action pass or halts it with the code forbidden.
func (AuthPlugin) Apply(_ context.Context, c *Context) (Result, error) {
	if why := denial(c.Identity, c.Action); why != "" {
		return Result{Stop: true, Code: fsm.Forbidden, Error: why}, nil
	}
	return c.Result, nil
}

// denial says why who may not do a, or nothing.
func denial(who Identity, a Action) string {
	switch {
	case a.Resource == internalBGP && who.Role != Peer:
		return fmt.Sprintf("%s needs the role peer, which only another site's session has; %s has the role %s", a, quote(who.Name), who.Role)
	case a.Resource == internalBGP:
		return foreign(who, a)
	case who.Role == Peer:
		return fmt.Sprintf("%s needs the role %s; peer %s may only send its own routes", a, needed(a), quote(who.Site))
	case a.Resource == "dataChannel" && who.Role == Operator, who.Role == Admin:
		return ""
	}
	return fmt.Sprintf("%s needs the role %s; %s has the role %s", a, needed(a), quote(who.Name), who.Role)
}

// foreign says whether a peer speaks for a site that is not its own, or with
// something that no session made.
func foreign(who Identity, a Action) string {
	verb, site := sessionVerb(a.Data)
	switch {
	case who.Site == "":
		return fmt.Sprintf("%s needs a peer that has named its site; open the session first", a)
	case verb != a.Action:
		return fmt.Sprintf("%s comes from a peer's session, through update and close", a)
	case site != who.Site:
		return fmt.Sprintf("%s speaks for site %s; peer %s may speak only for itself", a, quote(site), quote(who.Site))
	}
	return ""
}

func needed(a Action) string {
	if a.Resource == "dataChannel" {
		return "operator or admin"
	}
	return "admin"
}
