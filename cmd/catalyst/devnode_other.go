//go:build !linux

package main

import "syscall"

// attributes has nothing to ask for: only Linux ends children with their parent.
func attributes() *syscall.SysProcAttr { return nil }
