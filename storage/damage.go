package storage

import (
	"errors"
	"fmt"
)

// Damage says that a file does not hold what this node wrote and answered
// for. A node must not go on with it: one that has forgotten a vote or a
// record may help to elect a leader that lacks acknowledged writes.
type Damage struct {
	File string
	What string // reads on from the file's name: "has lost records 12..15"
	Err  error  // the particulars; may be nil
}

// wayOut is the same for all damage: the other members hold what this one lost.
const wayOut = "this node must not take part any more. Replace it: at another node run 'catalyst member remove ID', " +
	"then empty this node's data directory and join again. If it is the site's only node, restore a backup"

func (d *Damage) Error() string {
	text := d.File + " " + d.What
	if d.Err != nil {
		text += ": " + d.Err.Error()
	}
	return text + ": " + wayOut
}

func (d *Damage) Unwrap() error { return d.Err }

// IsDamage says whether err comes from a file that holds something else than
// was written, as opposed to a full disk, a lock or a permission.
func IsDamage(err error) bool {
	var d *Damage
	return errors.As(err, &d)
}

func damaged(file, what string, err error) *Damage { return &Damage{File: file, What: what, Err: err} }

// lost names the records that are missing at the end of the log.
func lost(file string, from, to uint64) *Damage {
	records := fmt.Sprintf("records %d..%d", from, to)
	if from == to {
		records = fmt.Sprintf("record %d", from)
	}
	return damaged(file, "has lost "+records+", which this node had acknowledged", nil)
}
