package main

import "syscall"

// attributes keep a terminal's Ctrl-C from the children, so that dev alone
// decides when they end, and have the kernel end them when dev is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
