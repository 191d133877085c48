package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

// auditEntry is one change, and whose it was.
type auditEntry struct {
	Index  uint64 `json:"index"`
	At     int64  `json:"at"`
	By     string `json:"by"`
	Action string `json:"action"`
	ID     string `json:"id"`
	Detail string `json:"detail"`
}

type auditList struct {
	Entries []auditEntry `json:"entries"`
	More    bool         `json:"more"`
}

func auditCommand(c *client) *cobra.Command {
	q := struct {
		Limit  int    `json:"limit,omitempty"`
		Before uint64 `json:"before,omitempty"`
	}{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Who changed what, and when",
		Long: `Who changed what, and when: the newest changes, the last of them last. What peer
sites announce is not part of it; catalyst route watch shows that.`,
		Example: `  catalyst audit --limit 20
  catalyst audit --before 4711   # what came before index 4711`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return misused(cmd, "--limit is %d: want 1 or more", q.Limit)
			}
			answer, err := c.ask(cmd.Context(), method("listAudit", q))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l auditList) {
				if len(l.Entries) == 0 {
					hint(cmd, "nothing is recorded there")
					return
				}
				l.print(cmd.OutOrStdout())
				if l.More {
					hint(cmd, "there is more: catalyst audit --before %d", l.Entries[0].Index)
				}
			})
		},
	}
	cmd.Flags().IntVar(&q.Limit, "limit", 50, "show at most `N` changes")
	cmd.Flags().Uint64Var(&q.Before, "before", 0, "only changes before this `index`; 0 begins at the newest")
	return cmd
}

// print prints a log: the newest last.
func (l auditList) print(w io.Writer) {
	slices.SortFunc(l.Entries, func(a, b auditEntry) int { return cmp.Compare(a.Index, b.Index) })
	var rows [][]string
	for _, e := range l.Entries {
		rows = append(rows, []string{fmt.Sprint(e.Index), instant(e.At), oneLine(e.By), e.Action, oneLine(e.ID), oneLine(e.Detail)})
	}
	table(w, "INDEX AT BY ACTION ID DETAIL", rows)
}
