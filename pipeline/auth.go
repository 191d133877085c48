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
	denial, err := denial(c.Identity, c.Action)
	if err != nil {
		return Result{}, err
	}
	if denial != "" {
		return Result{Stop: true, Code: fsm.Forbidden, Error: denial}, nil
	}
	return c.Result, nil
}

// denial says why who may not do a, or nothing.
func denial(who Identity, a Action) (string, error) {
	switch {
	case a.Resource == "internalBGP" && who.Role != Peer:
		return fmt.Sprintf("%s needs the role peer, which only another site's session has; %s has the role %s", a, quote(who.Name), who.Role), nil
	case a.Resource == "internalBGP":
		return foreign(who, a)
	case who.Role == Peer:
		return fmt.Sprintf("%s needs the role %s; peer %s may only send its own routes", a, needed(a), quote(who.Site)), nil
	case a.Resource == "dataChannel" && who.Role == Operator, who.Role == Admin:
		return "", nil
	}
	return fmt.Sprintf("%s needs the role %s; %s has the role %s", a, needed(a), quote(who.Name), who.Role), nil
}

// foreign says whether a peer speaks for a site that is not its own.
func foreign(who Identity, a Action) (string, error) {
	if who.Site == "" {
		return fmt.Sprintf("%s needs a peer that has named its site; open the session first", a), nil
	}
	o, err := objectAt("data", a.Data)
	if err != nil {
		return "", err
	}
	site, err := o.optionalText("peer")
	if err != nil || site == "" || site == who.Site {
		return "", err
	}
	return fmt.Sprintf("%s speaks for site %s; peer %s may speak only for itself", a, quote(site), quote(who.Site)), nil
}

func needed(a Action) string {
	if a.Resource == "dataChannel" {
		return "operator or admin"
	}
	return "admin"
}
