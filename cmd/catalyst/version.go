package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…, see the Makefile).
var version string

// level, set by the linker too, makes a node that knows no feature level above
// it, as older programs did: for trying out how a site is upgraded.
var level string

// programVersion is what the linker was told, else what the Go toolchain
// recorded: the tag, or the commit and its time.
func programVersion() string {
	recorded := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		recorded = info.Main.Version
	}
	return cmp.Or(version, recorded, "unknown")
}

func versionCommand(c *client) *cobra.Command {
	return offline(&cobra.Command{
		Use:   "version",
		Short: "Version of this program",
		Long: `Version of this program, with -o json as JSON. Those of the nodes are in catalyst
members.`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": programVersion(), "go": runtime.Version()})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "catalyst %s (%s, %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}, "output")
}
