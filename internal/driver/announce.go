package driver

import (
	"path/filepath"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// AnnounceVerb is the plugin's call by which a container announces itself:
// announce NETNS INTERFACE MAC. It is not netavark's, but the plugin's own.
const AnnounceVerb = "announce"

// manyHear is from how many on a container's announcement takes longer than to start a process for it: half a millisecond,
// where each that hears it takes 2 to 5 microseconds.
const manyHear = 100

// announcer returns what has a container announce itself. All of its network hear that: the containers of this host, and where
// hosts learn, all hosts, in a copy each. Where they are many the start does not wait for it: a process is started for it, as the
// last thing that setup does, since the kernel does nothing else with links meanwhile.
func (b build) announcer(p placed, e network.Endpoint, container Namespace) func(kernel.SetMAC) error {
	return func(c kernel.SetMAC) error {
		if b.Spawn == nil || !filepath.IsAbs(e.Namespace) || !b.manyHear(p, e) {
			return container.Apply(c)
		}
		b.last = func() error { return b.Spawn(AnnounceVerb, e.Namespace, c.Name, c.MAC.String()) }
		return nil
	}
}

func (b build) manyHear(p placed, e network.Endpoint) bool {
	count := 0
	if !p.vtep.Exact || p.Learning.Value {
		count = len(p.vtep.Flood)
	}
	for range b.st.Others(p.ID, e.ContainerID) {
		if count >= manyHear {
			break
		}
		count++
	}
	return count >= manyHear
}

// Announce is that call. It needs no lock: it sets the MAC that the interface has.
func (d *Driver) Announce(namespace, device, mac string) error {
	c := kernel.SetMAC{Name: device}
	if err := c.MAC.UnmarshalText([]byte(mac)); err != nil {
		return err
	}
	ns, err := d.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Apply(c)
}
