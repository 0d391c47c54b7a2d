package driver

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// crowded is the network with that many remote hosts.
func crowded(hosts int) string {
	var list []string
	for i := range hosts {
		list = append(list, fmt.Sprintf("198.19.%d.%d", i/250, 1+i%250))
	}
	return strings.Replace(testNetwork, `"remote_ips": "198.18.0.11,198.18.0.12"`, fmt.Sprintf(`"remote_ips": %q`, strings.Join(list, ",")), 1)
}

// Where very many hear a container's announcement, the start leaves it to a process of its own.
func TestAnnouncementThatManyHear(t *testing.T) {
	at := "ip link set eth0 address 02:36:0a:00:00:02"
	for _, tt := range []struct {
		name    string
		hosts   int
		others  int
		fails   bool // to start the process
		spawned bool
	}{
		{"few", manyHear - 1, 0, false, false},
		{"many hosts", manyHear, 0, false, true},
		{"many hosts and containers", manyHear - 1, 1, false, true},
		{"no process", manyHear, 0, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, d := newFake(t)
			var spawned []string
			d.Spawn = func(args ...string) error {
				if tt.fails {
					return errors.New("no more processes")
				}
				spawned = args
				return nil
			}
			var warning string
			d.Warn = func(message string) { warning = message }
			config := crowded(tt.hosts)
			for i := range tt.others {
				if _, err := d.Setup(request(config, 2+i)); err != nil {
					t.Fatal(err)
				}
			}
			k.Log, spawned = nil, nil
			ns, r := request(config, 1)
			if _, err := d.Setup(ns, r); err != nil {
				t.Fatal(err)
			}
			if last := k.Log[len(k.Log)-1]; (last == at) == tt.spawned {
				t.Errorf("last change: %s", last)
			}
			if tt.fails {
				if !strings.Contains(warning, "no more processes") {
					t.Errorf("warning %q", warning)
				}
				return
			}
			if warning != "" {
				t.Errorf("warning %q", warning)
			}
			if want := []string{AnnounceVerb, ns, "eth0", "02:36:0a:00:00:02"}; tt.spawned != reflect.DeepEqual(spawned, want) {
				t.Errorf("spawned %q", spawned)
			}
			if !tt.spawned {
				return
			}
			k.Log = nil
			if err := d.Announce(spawned[1], spawned[2], spawned[3]); err != nil || !reflect.DeepEqual(k.Log, []string{at}) {
				t.Errorf("%q, %v", k.Log, err)
			}
		})
	}
	_, d := newFake(t)
	for _, args := range [][3]string{{"/ns/9", "eth0", "02:36:0a:00:00:02"}, {"/ns/1", "eth9", "02:36:0a:00:00:02"}, {"/ns/1", "eth0", "02:36"}} {
		if err := d.Announce(args[0], args[1], args[2]); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	if err := d.Announce("/ns/1", "eth0", "02:36:0a:00:00:02"); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
