package main

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxOpenFiles is LimitNOFILE of vxland.service: far more than the connections that DNS, gossip
	// and plugins may open at once.
	maxOpenFiles = 65536
	// oomScoreAdj is OOMScoreAdjust of vxland.service.
	oomScoreAdj = -500
)

// raiseLimits gives an agent that the plugin started the limits of vxland.service. Its own are
// those of the container's unit. What is refused stays as it is.
func raiseLimits() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(oomScoreAdj)), 0)
	raiseFileLimit()
	for _, resource := range []int{unix.RLIMIT_CPU, unix.RLIMIT_FSIZE, unix.RLIMIT_DATA, unix.RLIMIT_AS} {
		_ = unix.Setrlimit(resource, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
}

// raiseFileLimit raises the limit of open files. It is package syscall's function that also makes
// children inherit it.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < maxOpenFiles {
		_ = syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: maxOpenFiles, Max: max(limit.Max, maxOpenFiles)})
	}
}
