package main

import "io"

// nodeFiles is what can be found out about a node's files, and done to them,
// when no node runs.
type nodeFiles interface {
	// Inspect reads a snapshot to its end and verifies it.
	Inspect(r io.Reader) (snapshotInfo, error)
	// Examine looks at the data directory of a node that does not run.
	Examine(dir string) []check
	// Survey says what recovering a site from the data of one node would mean.
	// What it returns recovers; before that nothing is changed.
	Survey(dir string) (recoveryPlan, func() error, error)
}

// snapshotInfo is what a snapshot holds.
type snapshotInfo struct {
	Site    string      `json:"site"`
	ID      string      `json:"id"`
	Epoch   string      `json:"epoch"`
	Level   int         `json:"level"`
	Version uint64      `json:"version"` // the index of its last change
	Routes  routeCounts `json:"routes"`
	Peers   int         `json:"peers"`
	Tokens  int         `json:"tokens"`
	TakenAt int64       `json:"takenAt,omitempty"`
}

type routeCounts struct {
	Local   int `json:"local"`
	Learned int `json:"learned"`
}

func (r routeCounts) String() string {
	return thousands(r.Local) + " local, " + thousands(r.Learned) + " learned"
}

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn or fail
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// recoveryPlan is what is known of a site from the data of one of its nodes.
type recoveryPlan struct {
	Node    string           `json:"node"`
	Site    string           `json:"site"`
	Members []recoveryMember `json:"members"` // that the site had, as far as this node knows
	Index   uint64           `json:"index"`   // of the last entry of the log here
	Term    uint64           `json:"term"`
	Routes  routeCounts      `json:"routes"`
	Peers   int              `json:"peers"`
	Losses  []string         `json:"losses,omitempty"` // beside what no single node can know
}

type recoveryMember struct {
	ID   string `json:"id"`
	Role string `json:"role"`
	Raft string `json:"raft"`
}
