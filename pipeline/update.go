package pipeline

import "github.com/catalyst/orchestrator/fsm"

// update is one item of updateRoutes, as far as it could be read.
type update struct {
	kind      string // add, remove or endOfRib
	id, site  string
	version   uint64
	service   fsm.Service
	path      []string
	malformed bool
}

func (u update) key() fsm.LearnedKey { return fsm.LearnedKey{ID: fsm.NormalID(u.id), Site: u.site} }

// readUpdate never fails: what it cannot read makes the item malformed.
func readUpdate(v any) update {
	var u update
	u.malformed = u.read(v) != nil
	return u
}

func (u *update) read(v any) error {
	o, err := objectAt("", v)
	if err != nil {
		return err
	}
	if u.kind, err = o.text("type", "use add, remove or endOfRib"); err != nil {
		return err
	}
	route := o
	if u.kind == "add" {
		if route, err = objectAt("route", o.fields["route"]); err != nil {
			return err
		}
	}
	// The key first: the rest may be wrong, and then the key is withdrawn.
	if u.kind != "endOfRib" {
		if u.id, err = route.text("id", "name the route"); err != nil {
			return err
		}
		if u.site, err = route.text("site", "name its site"); err != nil {
			return err
		}
	}
	if u.version, err = o.count("version"); err != nil {
		return err
	}
	switch u.kind {
	case "add":
		return u.announcement(route)
	case "remove", "endOfRib":
		return nil
	}
	return invalid("type: %s does not exist; use add, remove or endOfRib", quote(u.kind))
}

func (u *update) announcement(route object) error {
	service, err := objectAt("service", route.fields["service"])
	if err != nil {
		return err
	}
	if u.service, err = service.rawService(); err != nil {
		return err
	}
	u.path, err = route.texts("path")
	return err
}
