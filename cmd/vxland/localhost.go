package main

import (
	"context"
	"log/slog"
	"os"

	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/hostid"
	"vxlan-driver/internal/kernel/watch"
	"vxlan-driver/internal/membership"
)

// newLocalHost returns this host as others know it. The channel has a value when it has given
// itself a new ID.
func newLocalHost(bootDir, name string, log *slog.Logger) (*gossip.LocalHost, <-chan struct{}) {
	store := hostid.Store{Dir: hostid.Dir, BootDir: bootDir, Machine: hostid.ReadMachine()}
	id, notes := store.Load()
	for _, note := range notes {
		log.Warn("the ID of this host", "what", note)
	}
	host := gossip.NewLocalHost(id, membership.HostName(name))
	renewed := make(chan struct{}, 1)
	host.RenewID = func() error {
		if err := store.Renew(); err != nil {
			return err
		}
		renewed <- struct{}{}
		return nil
	}
	return host, renewed
}

// followHostName keeps the name of this host as others see it, and sends when it has changed.
func followHostName(ctx context.Context, host *gossip.LocalHost) (<-chan struct{}, error) {
	events, err := watch.HostName(ctx)
	if err != nil {
		return nil, err
	}
	changes := make(chan struct{}, 1)
	go func() {
		for {
			if name, err := os.Hostname(); err == nil && host.SetName(membership.HostName(name)) {
				select {
				case changes <- struct{}{}:
				default:
				}
			}
			select {
			case <-events:
			case <-ctx.Done():
				return
			}
		}
	}()
	return changes, nil
}
