package netstack

import (
	"errors"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
)

// ReadCounters returns what the links of those names and the firewall have counted, in the network
// namespace at a path, or for "" in the one that the caller is in.
func ReadCounters(path string, links []string) (counters kernel.Counters, err error) {
	reader, err := rtnl.Open(path)
	if err != nil {
		return counters, err
	}
	defer reader.Close()
	counters.Links = make(map[string]kernel.LinkCounters, len(links))
	for _, name := range links {
		l, err := reader.Counters(name)
		if errors.Is(err, kernel.ErrNotFound) {
			continue
		}
		if err != nil {
			return counters, err
		}
		counters.Links[name] = l
	}
	firewall, err := nft.Open(path)
	if err != nil {
		return counters, err
	}
	defer firewall.Close()
	counters.Drops, err = firewall.DropCounters()
	return counters, err
}
