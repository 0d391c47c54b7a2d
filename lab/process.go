package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process names one process for good. A pid alone may be given to another process later, and a
// start time may come again after a reboot, from which files in /run survive on some machines.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
	Boot  string `json:"boot"`  // the kernel's boot id
}

// identifyProcess names the process that has this pid now.
func identifyProcess(pid int) (process, error) {
	_, start, err := procStat(pid)
	if err != nil {
		return process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	boot, err := bootID()
	return process{PID: pid, Start: start, Boot: boot}, err
}

// isAlive tells whether the process still runs. One that is dead but not yet waited for (a zombie)
// does not.
func (p process) isAlive() bool {
	state, start, err := procStat(p.PID)
	boot, bootErr := bootID()
	return err == nil && bootErr == nil && start == p.Start && boot == p.Boot && state != "Z" && state != "X"
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// procStat reads state and start time of a process: fields 3 and 22 of proc_pid_stat(5).
func procStat(pid int) (state string, start uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, err
	}
	// The second field, the command in parentheses, may itself hold blanks and parentheses: count
	// from the last ")".
	stat := string(data)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("parse /proc/%d/stat: %q", pid, stat)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err
}
