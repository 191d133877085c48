package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func keysCommand(c *client) *cobra.Command {
	return group("keys", "The site's authority, certificates and gossip keys", keysList(c), keysRotate(c))
}

// keyList is what a site tells of its keys, never the keys themselves.
type keyList struct {
	Fingerprint string `json:"fingerprint"` // of the authority
	Keys        []struct {
		ID      string `json:"id"`
		Primary bool   `json:"primary"`
	} `json:"keys"`
	Certificates []struct {
		ID        string `json:"id"` // of the node
		ExpiresAt int64  `json:"expiresAt"`
	} `json:"certificates"`
}

func keysList(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Fingerprints of authority and gossip keys, and when certificates end",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("listKeys"))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l keyList) {
				if l.Fingerprint == "" && len(l.Keys) == 0 {
					hint(cmd, "this site has no keys: it is not secured; catalyst init founds one that is")
					return
				}
				l.print(cmd.OutOrStdout())
			})
		},
	}
}

func (l keyList) print(w io.Writer) {
	fields(w, [][2]string{{"authority", l.Fingerprint}})
	if len(l.Keys) > 0 {
		var rows [][]string
		for _, k := range l.Keys {
			use := "still read"
			if k.Primary {
				use = "in use"
			}
			rows = append(rows, []string{k.ID, use})
		}
		fmt.Fprintln(w)
		table(w, "GOSSIP-KEY STATE", rows)
	}
	if len(l.Certificates) > 0 {
		var rows [][]string
		for _, k := range l.Certificates {
			rows = append(rows, []string{k.ID, instant(k.ExpiresAt), until(k.ExpiresAt)})
		}
		fmt.Fprintln(w)
		table(w, "CERTIFICATE-OF VALID-UNTIL ENDS", rows)
	}
}

// rotation is the answer to keys/rotate.
type rotation struct {
	verdict
	Data struct {
		ID    string   `json:"id"` // of the new key
		Steps []string `json:"steps"`
	} `json:"data"`
}

func keysRotate(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Give the nodes a new key for their gossip",
		Long: `Give the nodes a new key for their gossip: all learn it, then all use it, then the
old one is forgotten. Nothing is interrupted. Do it when a machine that was a
node is given away, or is suspected. Certificates renew by themselves.`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return actAs(c, cmd, action{Resource: "keys", Action: "rotate", Data: map[string]any{}}, func(r rotation) error {
				for _, step := range r.Data.Steps {
					fmt.Fprintln(cmd.ErrOrStderr(), oneLine(step))
				}
				fmt.Fprintf(cmd.OutOrStdout(), "gossip uses the new key %s (index %d)\n", r.Data.ID, r.Index)
				return nil
			})
		},
	}
}
