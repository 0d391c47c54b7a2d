package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/network"
)

// withDefinitions answers a request that is about networks which are defined once. It fails in time for the
// plugin to say why.
func (a *Agent) withDefinitions(ctx context.Context,
	answer func(context.Context, cluster.Definitions) agentapi.Response) agentapi.Response {
	if a.OpenDefinitions == nil {
		return agentapi.Response{Error: "this agent has no section [etcd] in /etc/vxlan/vxland.toml"}
	}
	ctx, cancel := context.WithTimeout(ctx, a.Config.Etcd.RequestTimeout)
	defer cancel()
	store, err := a.OpenDefinitions()
	if err != nil {
		return errorResponse(fmt.Errorf("networks in etcd: %w", err))
	}
	defer store.Close()
	return answer(ctx, store)
}

// handleDefine answers with what a new network is to be. It claims what the plugin has found good.
func (a *Agent) handleDefine(ctx context.Context, raw json.RawMessage) agentapi.Response {
	var r agentapi.DefineRequest
	if err := json.Unmarshal(raw, &r); err != nil {
		return errorResponse(fmt.Errorf("define network: %w", err))
	}
	return a.withDefinitions(ctx, func(ctx context.Context, store cluster.Definitions) agentapi.Response {
		definer := definition.Definer{Definitions: store, VNIs: a.Config.Etcd.VNIs, UsedVNIs: a.usedVNIs}
		config, warning, err := definer.Complete(ctx, r.Config, r.Proposed)
		if err != nil {
			return errorResponse(err)
		}
		return agentapi.Response{Data: config, Warning: warning}
	})
}

// usedVNIs are those that this host has with a port, on networks that are not in etcd or of other programs.
func (a *Agent) usedVNIs(port uint16) (used []uint32, err error) {
	reserved, err := a.Host.Reservations(network.ReadReservation)
	if err != nil {
		return nil, err
	}
	for _, r := range reserved {
		if r.Port == port {
			used = append(used, r.VNI)
		}
	}
	ns, err := a.Host.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	devices, err := ns.Tunnels()
	for _, d := range devices {
		if d.Tunnel.Port == port {
			used = append(used, d.Tunnel.VNI)
		}
	}
	return used, err
}

// handleDefinitions lists the networks that are defined in etcd.
func (a *Agent) handleDefinitions(ctx context.Context) agentapi.Response {
	return a.withDefinitions(ctx, func(ctx context.Context, store cluster.Definitions) agentapi.Response {
		found, err := store.List(ctx)
		if err != nil {
			return errorResponse(fmt.Errorf("list the networks in etcd: %w", err))
		}
		all := []definition.Listed{}
		for _, n := range found {
			listed := definition.Listed{Hosts: n.Hosts}
			var err error
			if listed.Definition, _, err = definition.Decode(n.Name, n.Value); err != nil {
				listed.Definition, listed.Problem = adopt.Definition{Name: n.Name}, err.Error()
			}
			all = append(all, listed)
		}
		return dataResponse(all, nil)
	})
}

// handleRetire gives up the definition of a network that nobody uses.
func (a *Agent) handleRetire(ctx context.Context, name string) agentapi.Response {
	isHere := slices.ContainsFunc(a.definitions(), func(d adopt.Definition) bool { return d.Name == name && d.UsesEtcd() })
	return a.withDefinitions(ctx, func(ctx context.Context, store cluster.Definitions) agentapi.Response {
		uses, err := store.Retire(ctx, name, isHere)
		if errors.Is(err, cluster.ErrNotDefined) {
			return dataResponse(definition.Retirement{}, nil)
		}
		if err != nil {
			return errorResponse(fmt.Errorf("retire network %s in etcd: %w", name, err))
		}
		return dataResponse(definition.Retirement{Defined: true, Uses: uses}, nil)
	})
}
