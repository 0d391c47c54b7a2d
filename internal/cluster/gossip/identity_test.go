package gossip

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// as makes a host another one: by its ID, its name and the address that it talks by.
func as(id, name, addr int) func(*Config) {
	return func(c *Config) {
		c.Host, c.Bind = NewLocalHost(wiretest.ID(uint16(id)), hostName(name)), hostAddr(addr)
	}
}

// startCluster starts hosts that all know each other. Each has a container of its number, as c3.
func startCluster(t *testing.T, n *memnet, count int) []*host {
	t.Helper()
	var hosts []*host
	for i := 1; i <= count; i++ {
		hosts = append(hosts, startHost(t, n, i))
		hosts[i-1].announce(fmt.Sprint("c", i))
	}
	for i, h := range hosts {
		h.waitUntilSees(5*second, expectOthers(i+1, count, nil))
	}
	return hosts
}

// replaceHost crashes a host and starts another in its place, after a while. It returns how long
// the others take until they see, of the two, only the new one, in its place among them.
func replaceHost(t *testing.T, n *memnet, hosts []*host, away time.Duration, change func(*Config)) (took time.Duration) {
	t.Helper()
	last := len(hosts) - 1
	hosts[last].crash()
	time.Sleep(away)
	began := time.Now()
	hosts[last] = startHost(t, n, last+1, change)
	hosts[last].announce("new")
	name := hosts[last].cfg.Host.Name()
	for i, h := range hosts[:last] {
		want := fmt.Sprintf("%s: new", name)
		if others := expectOthers(i+1, last, nil); others != "" {
			want = others + ", " + want
		}
		h.waitUntilSees(time.Minute, want)
	}
	return time.Since(began)
}

// A host that reboots with another DHCP lease, is installed anew, or changes its name, replaces
// what the others had of it at once: whether it still counts as reachable, or has been away for
// long.
func TestHostThatComesBackReplacesItself(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
	}{
		{"the same", as(5, 5, 5)},
		{"another address", as(5, 5, 77)},
		{"a lower address", as(5, 5, 2000)},
		{"another name", as(5, 6, 5)},
		{"another name and address", as(5, 6, 77)},
		{"installed anew", as(77, 5, 5)},
		{"installed anew under another name", as(77, 6, 5)},
	}
	for _, tt := range tests {
		for _, away := range []time.Duration{100 * time.Millisecond, 3 * second, 20 * second, 10 * time.Minute} {
			t.Run(fmt.Sprint(tt.name, " after ", away), func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T, n *memnet) {
					hosts := startCluster(t, n, 5)
					took := replaceHost(t, n, hosts, away, tt.change)
					t.Logf("after %v", took)
					if took > second {
						t.Errorf("the others see it after %v", took)
					}
					// Nothing of the old one comes back.
					want := hosts[0].sees()
					for range 120 {
						time.Sleep(second)
						if got := strings.NewReplacer("(", "", ")", "").Replace(hosts[0].sees()); got != want {
							t.Fatalf("then host-1 sees %s", got)
						}
					}
				})
			})
		}
	}
}

// Once a host that comes back relies on what it knows, its own old record is gone. Else it would
// refuse its containers their own addresses.
func TestHostIsSyncedWithoutItsOldRecord(t *testing.T) {
	for _, away := range []time.Duration{100 * time.Millisecond, 20 * second} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			hosts := startCluster(t, n, 3)
			hosts[2].crash()
			time.Sleep(away)
			began := time.Now()
			back := startHost(t, n, 3, as(3, 3, 77))
			for !back.Health().Synced {
				time.Sleep(time.Millisecond)
			}
			if back.sees() != "host-1: c1, host-2: c2" {
				t.Errorf("away for %v, it sees %s", away, back.sees())
			}
			if took := time.Since(began); took > second {
				t.Errorf("away for %v, it is synced after %v", away, took)
			}
		})
	}
}

// Of the host's old record nothing is left that reserves its addresses, also where it was missed.
func TestOldRecordIsReplacedWhereItWasMissed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 4)
		n.partition(1, hostAddr(1))
		hosts[3].crash()
		moved := startHost(t, n, 4, as(4, 4, 77), func(c *Config) { c.Seeds = append(c.Seeds, hostAddr(2)) })
		moved.announce("new")
		hosts[1].waitUntilKnows(time.Minute, "host-1: c1, host-3: c3, host-4: new")
		time.Sleep(10 * time.Minute)
		n.partition(0, hostAddr(1))
		hosts[0].waitUntilSees(time.Minute, "host-2: c2, host-3: c3, host-4: new")
	})
}

// A host may move there and back. Each time its last address counts.
func TestHostMovesToAndFro(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(simLoss)
		hosts := startCluster(t, n, 3)
		for round := range 6 {
			took := replaceHost(t, n, hosts, second, as(3, 3, []int{77, 3}[round%2]))
			if took > 3*second {
				t.Errorf("round %d took %v", round, took)
			}
		}
	})
}

// Hosts that are away may come back with each other's addresses. Nobody takes them for copies.
func TestHostsSwapAddresses(t *testing.T) {
	for _, away := range []time.Duration{100 * time.Millisecond, 20 * second} {
		for _, addrs := range [][]int{{4, 3}, {4, 5, 3}} {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				hosts := startCluster(t, n, 5)
				n.setLoss(simLoss)
				for i := range addrs {
					hosts[2+i].crash()
				}
				time.Sleep(away)
				for i, addr := range addrs {
					hosts[2+i] = startHost(t, n, 3+i, as(3+i, 3+i, addr))
					hosts[2+i].announce(fmt.Sprint("c", 3+i))
					time.Sleep(300 * time.Millisecond) // meanwhile two have one address
				}
				for range 2 {
					for i, h := range hosts {
						h.waitUntilSees(3*second, expectOthers(i+1, 5, nil))
						if warnings := h.Health().Warnings; len(warnings) > 0 {
							t.Errorf("addresses %v: host-%d warns %q", addrs, i+1, warnings)
						}
					}
					time.Sleep(30 * second)
				}
			})
		}
	}
}

// While an agent runs, its host may lose an address and get another one. The plane of the old one
// ends, and cannot tell anybody.
func TestRunningHostMoves(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 3)
		self := hosts[2].cfg.Host
		n.partition(1, hostAddr(3)) // the address is gone
		began := time.Now()
		moved := startHost(t, n, 3, func(c *Config) { c.Host, c.Bind = self, hostAddr(77) })
		moved.announce("c3")
		time.Sleep(50 * time.Millisecond)
		go func() { _ = hosts[2].Leave(t.Context()) }() // reaches nobody
		hosts[0].waitUntilSees(time.Minute, "host-2: c2, host-3: c3")
		hosts[1].waitUntilSees(time.Minute, "host-1: c1, host-3: c3")
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// A host that talks by two addresses has two planes. They may meet in one cluster, and are not
// taken for a host that moved.
func TestTwoPlanesOfOneHostMeet(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		a.announce("a")
		self := NewLocalHost(wiretest.ID(2), hostName(2))
		first := startHost(t, n, 2, func(c *Config) { c.Host = self })
		second2 := startHost(t, n, 2, func(c *Config) { c.Host, c.Bind = self, hostAddr(77) })
		first.announce("x")
		second2.announce("y")
		a.waitUntilSees(3*second, "host-2: x, host-2: y")
		for range 60 {
			time.Sleep(second)
			if a.sees() != "host-2: x, host-2: y" {
				t.Fatalf("sees %s", a.sees())
			}
		}
		// One of them ends for good, and the other goes on.
		n.partition(1, hostAddr(77))
		second2.crash()
		a.waitUntilSees(20*second, "host-2: x")
		first.announce("x", "z")
		a.waitUntilSees(second, "host-2: x z")
	})
}

// The addresses of an unreachable host that sent from this host's VTEP are free at once: an
// installation before this one had another address for its agent.
func TestUnreachableHostWithOurVTEPIsReplaced(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 2)
		old := startHost(t, n, 3)
		old.announce("old")
		hosts[0].waitUntilSees(3*second, "host-2: c2, host-3: old")
		old.crash()
		anew := startHost(t, n, 3, as(33, 3, 77))
		m := wiretest.Membership(hostAddr(3).Addr(), "new")
		if err := anew.Set(cluster.Local{Memberships: []cluster.Membership{m}}); err != nil {
			t.Fatal(err)
		}
		hosts[0].waitUntilSees(20*second, "host-2: c2, host-3: new")
	})
}

// A host whose record another one takes out, by mistake or from ill will, puts it back.
func TestLivingHostThatIsTakenOutComesBack(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 3)
		hosts[0].mu.Lock()
		hosts[0].replica.TakeOut(hostKey(3), time.Now())
		hosts[0].updateSnapshotLocked()
		hosts[0].mu.Unlock()
		hosts[0].waitUntilSees(0, "host-2: c2")
		hosts[0].waitUntilSees(second, "host-2: c2, host-3: c3")
		hosts[1].waitUntilSees(second, "host-1: c1, host-3: c3")
	})
}

// A host and a copy of it that cannot be told from it are both in the cluster. Each says so, and
// exactly one asks for another ID. Neither hides the other's containers for longer than a packet
// takes, whichever was there first.
func TestCopyOfAHost(t *testing.T) {
	for _, together := range []bool{true, false} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			renewals := make(map[int]int)
			start := func(addr int) *host {
				return startHost(t, n, 2, as(2, addr, addr), func(c *Config) {
					c.Host.RenewID = func() error { renewals[addr]++; return nil }
				})
			}
			a := startHost(t, n, 1)
			a.announce("a")
			first := start(5)
			first.announce("x")
			if !together {
				a.waitUntilSees(3*second, "host-5: x")
				time.Sleep(time.Minute)
			}
			second2 := start(4)
			second2.announce("y")
			a.waitUntilSees(3*second, "host-4: y, host-5: x")
			if hidden := a.countOthersHidden("host-4: y, host-5: x"); hidden > 2 {
				t.Errorf("one was hidden %d times in a minute", hidden)
			}
			if renewals[5] != 1 || renewals[4] != 0 {
				t.Errorf("asked for new IDs: %v", renewals)
			}
			for h, other := range map[*host]string{first: "host-4 (198.18.0.4)", second2: "host-5 (198.18.0.5)"} {
				want := "host " + other + " has the ID of this host"
				if w := h.Health().Warnings; len(w) != 1 || !strings.HasPrefix(w[0], want) {
					t.Errorf("warns %q, want %q", w, want)
				}
			}
			// With its new ID it takes its old record out, and nobody warns any more.
			first.crash()
			anew := startHost(t, n, 2, as(77, 5, 5))
			anew.announce("x")
			a.waitUntilSees(second, "host-4: y, host-5: x")
			time.Sleep(10 * second)
			if w := second2.Health().Warnings; len(w) > 0 || a.sees() != "host-4: y, host-5: x" {
				t.Errorf("still warns %q; a sees %s", w, a.sees())
			}
		})
	}
}

// A copy that packets do not reach is no reason to hide it: it lives, as others say.
func TestCopyThatPacketsDoNotReach(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.dropPackets(hostAddr(4), hostAddr(5))
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("a")
		b.announce("b")
		startHost(t, n, 2, as(9, 4, 4)).announce("x")
		startHost(t, n, 2, as(9, 5, 5)).announce("y")
		a.waitUntilSees(5*second, "host-2: b, host-4: x, host-5: y")
		if hidden := a.countOthersHidden("host-2: b, host-4: x, host-5: y"); hidden > 5 {
			t.Errorf("hidden %d times of 1200", hidden)
		}
	})
}

// The others see another name at once.
func TestHostIsRenamed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 3)
		hosts[2].cfg.Host.SetName("renamed")
		hosts[2].announce("c3")
		if took := hosts[0].waitUntilSees(second, "host-2: c2, renamed: c3"); took > 50*time.Millisecond {
			t.Errorf("seen after %v", took)
		}
	})
}

// countOthersHidden looks 1,200 times in a minute, and counts how often the host sees something else.
func (h *host) countOthersHidden(want string) (hidden int) {
	for range 1200 {
		time.Sleep(50 * time.Millisecond)
		if h.sees() != want {
			hidden++
		}
	}
	return hidden
}

// A snapshot says whose it is, from the first one on.
func TestSnapshotSaysWhoseItIs(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		first := startHost(t, n, 2).Snapshot()
		hosts := startCluster(t, n, 1)
		startHost(t, n, 3).announce("c3")
		hosts[0].waitUntilSees(5*second, "host-3: c3")
		if first.Self != wiretest.ID(2) || hosts[0].Snapshot().Self != wiretest.ID(1) {
			t.Errorf("got %v and %v", first.Self, hosts[0].Snapshot().Self)
		}
	})
}

// A host has moved, and a copy of it gets its former address. What is said of that address is the
// copy's, not what the host left behind there.
func TestCopyAtFormerAddress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		a.announce("a")
		renewals := 0
		moved := startHost(t, n, 2, as(2, 5, 5), func(c *Config) {
			c.Host.RenewID = func() error { renewals++; return nil }
			c.Host.beginsToTalk(hostAddr(4))
			c.Host.endsToTalk(hostAddr(4))
		})
		moved.announce("x")
		a.waitUntilSees(5*second, "host-5: x")
		startHost(t, n, 2, as(2, 4, 4)).announce("y")
		a.waitUntilSees(5*second, "host-4: y, host-5: x")
		if hidden := a.countOthersHidden("host-4: y, host-5: x"); hidden > 2 || renewals != 1 {
			t.Errorf("hidden %d times of 1200, %d new IDs", hidden, renewals)
		}
	})
}
