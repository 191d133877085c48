//go:build !linux

package clustertests

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {}
