package main

import (
	"io"

	"github.com/catalyst/orchestrator/node"
)

// onDisk is nodeFiles as package node knows them.
type onDisk struct{}

func (onDisk) Inspect(r io.Reader) (snapshotInfo, error) {
	i, err := node.InspectSnapshot(r)
	return snapshotInfo(i), err
}

func (onDisk) Examine(dir string) (all []check) {
	for _, c := range node.Examine(dir) {
		all = append(all, check(c))
	}
	return all
}

func (onDisk) Survey(dir string) (recoveryPlan, error) {
	p, err := node.SurveyRecovery(dir)
	plan := recoveryPlan{Node: p.Node, Site: p.Site, Last: p.Last, Term: p.Term, Table: snapshotInfo(p.Table), Lost: p.Lost, Next: p.Next}
	for _, m := range p.Members {
		plan.Members = append(plan.Members, recoveryMember(m))
	}
	return plan, err
}

func (onDisk) Recover(dir string) error { return node.Recover(dir) }
