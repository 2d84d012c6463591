//go:build !linux

package wire

import "syscall"

func sendNow(fd uintptr, b []byte) (int, error)    { return syscall.Write(int(fd), b) }
func receiveNow(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
