package watch

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// senderCache remembers who sent a moment ago: one process removes many things, and is gone before
// the last of them is heard of.
type senderCache struct {
	protocol int
	found    kernel.Sender
	at       time.Time
}

const senderCacheTime = 100 * time.Millisecond

// Find returns the process that has, or had a moment ago, a socket of a protocol and port.
func (c *senderCache) Find(protocol int, port uint32) kernel.Sender {
	if now := time.Now(); c.protocol != protocol || c.found.Port != port || now.Sub(c.at) > senderCacheTime {
		c.protocol, c.found, c.at = protocol, findSender(protocol, port), now
	}
	return c.found
}

// findSender returns the process that has a netlink socket of a protocol and port. The kernel gives
// a process's first socket the process's number as its port, if the process does not ask for another
// one (netlink_autobind in net/netlink/af_netlink.c). That is what ip, nft and most others have. Of
// any other socket nothing is known.
//
// The number is that in the sender's own PID namespace. So it is checked that the process has the
// socket. If that is closed already, a process that has just started counts as the sender: it is
// about to end.
func findSender(protocol int, port uint32) kernel.Sender {
	s := kernel.Sender{Port: port}
	dir := filepath.Join("/proc", strconv.FormatUint(uint64(port), 10))
	command, err := os.ReadFile(dir + "/comm")
	if port == 0 || err != nil {
		return s
	}
	parent, age := readStat(dir)
	sockets := socketsOf(dir)
	inode, open := netlinkSocket(protocol, port)
	if open && !sockets[inode] || !open && age > maxShortLived {
		return s // the process has that number by chance
	}
	s.PID, s.Command, s.Parent = int(port), strings.TrimSpace(string(command)), parent
	return s
}

const (
	// maxShortLived is longer than a command runs that removes something.
	maxShortLived = 10 * time.Second
	// clockTicks a second are what times in /proc have on all architectures (USER_HZ).
	clockTicks = 100
)

// readStat returns the name of the process that started another one, "" if it cannot be told, and
// for how long that one runs.
func readStat(dir string) (parent string, age time.Duration) {
	stat, err := os.ReadFile(dir + "/stat")
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return "", 0 // it has just ended
	}
	// PID (COMM) STATE PPID … (proc_pid_stat(5)); a name may have any character.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const parentField, startField = 1, 19
	if len(fields) <= startField {
		return "", 0
	}
	started, _ := strconv.ParseInt(fields[startField], 10, 64)
	age = time.Duration(now.Nano()) - time.Duration(started)*(time.Second/clockTicks)
	name, err := os.ReadFile(filepath.Join("/proc", fields[parentField], "comm"))
	if err != nil {
		return "", age
	}
	return strings.TrimSpace(string(name)), age
}

// maxFiles bounds what is read of a process. One that changes networks has few files open.
const maxFiles = 1024

// socketsOf returns the sockets that a process has open, by their inodes.
func socketsOf(dir string) map[string]bool {
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxFiles) // of a process that ends, what there was
	sockets := make(map[string]bool)
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(dir, "fd", name))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return sockets
}

// netlinkSocket returns the inode of the socket of a protocol and port in this namespace.
func netlinkSocket(protocol int, port uint32) (inode string, open bool) {
	f, err := os.Open("/proc/net/netlink")
	if err != nil {
		return "", false
	}
	defer f.Close()
	wantProtocol, wantPort := fmt.Sprint(protocol), fmt.Sprint(port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode (netlink_seq_show)
		fields := strings.Fields(lines.Text())
		if len(fields) >= 10 && fields[1] == wantProtocol && fields[2] == wantPort {
			return fields[9], true
		}
	}
	return "", false
}
