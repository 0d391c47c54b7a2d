package main

import "golang.org/x/sys/unix"

// call is a kind of system call, and the error that it fails with.
type call struct {
	name  string
	errno unix.Errno
}

// mutatingCalls change files or send requests to the kernel. A death at any other call is the same
// as one at the next of these.
var mutatingCalls = map[uint64]call{
	unix.SYS_SENDTO:   {"sendto", unix.ENOBUFS},
	unix.SYS_SENDMSG:  {"sendmsg", unix.ENOBUFS},
	unix.SYS_WRITE:    {"write", unix.ENOSPC},
	unix.SYS_RENAMEAT: {"renameat", unix.ENOSPC},
	unix.SYS_UNLINKAT: {"unlinkat", unix.EIO},
	unix.SYS_MKDIRAT:  {"mkdirat", unix.ENOSPC},
}

// fallibleCalls can fail on a host that is short of something. After a failed receive the kernel
// has done what was asked, and the program does not know.
var fallibleCalls = mergeCalls(mutatingCalls, map[uint64]call{
	unix.SYS_RECVFROM: {"recvfrom", unix.ENOBUFS},
	unix.SYS_RECVMSG:  {"recvmsg", unix.ENOBUFS},
	unix.SYS_OPENAT:   {"openat", unix.EMFILE},
	unix.SYS_SOCKET:   {"socket", unix.EMFILE},
	unix.SYS_SETNS:    {"setns", unix.EPERM},
	unix.SYS_FLOCK:    {"flock", unix.ENOLCK},
})

func mergeCalls(a, b map[uint64]call) map[uint64]call {
	for nr, c := range a {
		b[nr] = c
	}
	return b
}
