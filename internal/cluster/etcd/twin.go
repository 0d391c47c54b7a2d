package etcd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"vxlan-driver/internal/cluster/etcd/record"
)

// Two hosts have one ID if one was copied from the other. Each would take the other's records for its own,
// and delete them. So a host publishes nothing while another one is there by its ID.

// thisInstance tells this host, since it was started, from a copy of it. It stays when the agent restarts.
// "": that is not known.
func thisInstance() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var netns syscall.Stat_t
	if err = errors.Join(err, syscall.Stat("/proc/self/ns/net", &netns)); err != nil {
		return ""
	}
	return fmt.Sprintf("%s-%d", strings.TrimSpace(string(boot)), netns.Ino)
}

// describeTwin says for people which other host has this one's presence; "": none.
func (p *Plane) describeTwin(value []byte) string {
	there, err := record.DecodePresence(value)
	if err != nil || there.Instance == "" || p.cfg.Instance == "" || there.Instance == p.cfg.Instance {
		return ""
	}
	return fmt.Sprintf("host %s has the ID of this host, as if one was copied from the other; this host announces "+
		"nothing meanwhile; if it lasts, remove /var/lib/vxlan/host-id on one of them and restart its agent",
		cmp.Or(there.Name, "of an unknown name"))
}

// noteTwin notes whether another host has this one's ID, and that what this host has may be published if not.
func (p *Plane) noteTwin(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.twin == text && p.isThere == (text == "") {
		return
	}
	if text != "" && p.twin != text {
		p.log.Error("this host cannot use etcd", "err", text)
	}
	p.twin, p.isThere = text, text == ""
	wake(p.wakePublisher)
	p.notifyLocked()
}

// mayPublish tells whether etcd knows that this host is there, and no other one is there by its ID.
func (p *Plane) mayPublish() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isThere
}
