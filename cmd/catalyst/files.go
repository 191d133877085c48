package main

import "io"

// nodeFiles is what can be found out about a node's files, and done to them,
// when no node runs.
type nodeFiles interface {
	// Inspect reads a snapshot to its end and verifies it.
	Inspect(r io.Reader) (snapshotInfo, error)
	// Examine looks at the data directory of a node that does not run.
	Examine(dir string) []check
	// Survey says what Recover would do with the data of a node. It changes
	// nothing.
	Survey(dir string) (recoveryPlan, error)
	// Recover makes that node the only member of its site.
	Recover(dir string) error
}

// snapshotInfo is what a snapshot holds.
type snapshotInfo struct {
	Site    string `json:"site"`
	ID      string `json:"id"`
	Epoch   string `json:"epoch"`
	Level   int    `json:"level"`
	Version uint64 `json:"version"` // the index of its last change
	Routes  struct {
		Local   int `json:"local"`
		Learned int `json:"learned"`
	} `json:"routes"`
	Peers  int `json:"peers"`
	Tokens int `json:"tokens"`
}

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn or fail
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// recoveryPlan is what is known of a site from the data of one of its nodes,
// and what recovering it from there would mean.
type recoveryPlan struct {
	Node    string           `json:"node"`
	Site    string           `json:"site"`
	Members []recoveryMember `json:"members"` // that the site had, as far as this node knows
	Last    uint64           `json:"last"`    // Raft's index of the last entry here
	Term    uint64           `json:"term"`
	Table   snapshotInfo     `json:"table"`
	Lost    []string         `json:"lost"` // what is lost, or may be
	Next    []string         `json:"next"` // what happens then, and what to do
}

type recoveryMember struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Raft  string `json:"raft"`
	Stays bool   `json:"stays"`
}
