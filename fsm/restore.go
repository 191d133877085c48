package fsm

import "fmt"

// Restored is the table with which the site goes on after its routes were put
// back to those of a backup. From the backup it has the services and the
// configured peers, who are yet to say again which site they are; what it
// learned from peers comes anew with their sessions. All that says who is who
// stays the site's own: a backup brings no revoked token back.
//
// Its version is higher than any that either table showed, and no change before
// it is known: watches start over. No request is remembered. The error is a
// *Refusal when the backup is of another site, or the epoch is not a later one.
func (t *Table) Restored(backup *Table, epoch string, at int64, by string) (*Table, error) {
	if err := t.accepts(backup, epoch); err != nil {
		return nil, err
	}
	e := &edit{Table: *t, own: new(owner), now: at, by: by}
	e.version, e.epoch = max(t.version, backup.version)+1, epoch
	e.local, e.learned, e.byPeer = backup.local, tree[record]{}, tree[announcement]{}
	e.peers, e.peersVersion = backup.peersAlone(), e.version
	e.history, e.memory = startingAt[change](e.version+1), memory{}
	e.enter("site/restore", e.site, fmt.Sprintf("version %d", backup.version))
	return &e.Table, nil
}

func (t *Table) accepts(backup *Table, epoch string) error {
	switch {
	case t.site == "":
		return &Refusal{Conflict, "the site is not founded yet; bootstrap it first, then restore the backup"}
	case backup.site != t.site:
		return &Refusal{Conflict, fmt.Sprintf("the backup is of site %q, and this is site %q; give a backup of %[2]q, or restore this one at a site that was founded as %[1]q", backup.site, t.site)}
	case epoch <= t.epoch:
		return &Refusal{Conflict, epochMessage(epoch, t.epoch)}
	case backup.version >= mostVersion:
		return invalid(fmt.Sprintf("the backup says it is of version %d, which no site reaches; give another backup", backup.version))
	}
	return nil
}

// peersAlone are the configured peers without anything that was heard of them.
func (t *Table) peersAlone() tree[*peer] {
	var alone []*peer
	for config := range t.Peers() {
		config.Site = ""
		alone = append(alone, &peer{id: config.ID, config: &config})
	}
	return plant(alone)
}
