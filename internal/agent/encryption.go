package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/encryption"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/repairs"
)

// newEncryption returns the manager of this host's encrypted networks, or nil if the agent has no way to
// encrypt. Nothing leaves an encrypted network's host then.
func (a *Agent) newEncryption() *encryption.Manager {
	if a.WireGuard == nil {
		return nil
	}
	return encryption.New(encryption.Config{
		Devices: a.WireGuard, Keys: encryption.KeyDir(filepath.Join(a.Host.StoreDir, "wireguard")),
		RotateAfter: a.Config.EncryptionRotateAfter, ClusterKeys: a.clusterKeyIDs, OnOverdue: a.rotationOverdue,
		TakesIP: a.TakesIP, Log: a.Log, Repaired: a.reportWireGuardRepair,
	})
}

// clusterKeyIDs are the keys by which the agents talk, each by its hash.
func (a *Agent) clusterKeyIDs() []string {
	if a.KeyFile == nil {
		return nil
	}
	return a.KeyFile.IDs()
}

// rotationOverdue notes that a rotation of a network's keys goes on without hosts that have not followed.
func (a *Agent) rotationOverdue(network string, hosts []string) {
	names := strings.Join(hosts, ", ")
	a.events.Add(agentapi.Event{
		Kind: agentapi.EventRotationOverdue,
		Text: fmt.Sprintf("network %s: the rotation of the keys goes on without hosts that do not follow: %s", network,
			names),
		Fields: map[string]string{agentapi.FieldNetwork: network, agentapi.FieldDetail: names},
	})
}

func (a *Agent) reportWireGuardRepair(network, device string, fault wireguard.Fault) {
	r := repairs.Repair{Kind: repairs.WireGuard, Object: device, Count: 1, Fault: string(fault),
		OfRouting: fault.IsOfRouting()}
	a.repairs.Note(r)
	a.reportRepair(r, network)
}

// runEncryption works until ctx is done, and the devices of networks that have gone are removed.
func (a *Agent) runEncryption(ctx context.Context) {
	if a.encryption != nil {
		a.encryption.Run(ctx)
		a.encryption.Wait()
	}
}

// encryptionChanged has a value when the devices or keys of networks are others.
func (a *Agent) encryptionChanged() <-chan struct{} {
	if a.encryption == nil {
		return nil
	}
	return a.encryption.Changed()
}

// followEncryption says which encrypted networks there are. It is before anything that needs their devices
// or keys, and costs nothing where they are as before.
func (a *Agent) followEncryption(ctx context.Context, networks []hoststate.Network, complete, check bool) {
	if a.encryption == nil {
		return
	}
	var encrypted []encryption.Network
	for _, n := range networks {
		if n.Encrypts() {
			encrypted = append(encrypted, encryptedNetwork(n))
		}
	}
	a.encryption.Follow(ctx, encrypted, complete, check)
}

func encryptedNetwork(n hoststate.Network) encryption.Network {
	mtu := 0 // as long as the underlay is away
	if n.VTEP.UnderlayMTU > 0 {
		mtu = n.VTEP.WireGuardMTU()
	}
	return encryption.Network{
		ID: n.ID, Name: n.Name, Devices: n.Identity.WireGuard, VXLAN: n.Device.Name, Alias: n.Alias(),
		VTEP: n.VTEP.Local, MTU: mtu, Port: n.EncryptionPort,
	}
}

// setEncryptionPeers gives the devices of encrypted networks the peers that follow from what the other hosts
// say. That is before the kernel's entries lead to them, and before the others are told that this host
// follows them.
func (a *Agent) setEncryptionPeers() error {
	if a.encryption == nil {
		return nil
	}
	var errs []error
	for _, n := range a.forwarder.networks {
		if n.local.Encrypts() {
			errs = append(errs, a.encryption.SetHosts(n.local.ID, n.hosts(a.clusters.DiscoveryOf(toMembership(n.local)))))
			n.setTakers(a.encryption.TakersOfIP(n.local.ID))
		}
	}
	return errors.Join(errs...)
}

// noteSettled tells of encrypted networks of which nothing in the kernel leads to an earlier device.
func (a *Agent) noteSettled() {
	if a.encryption == nil {
		return
	}
	for _, n := range a.forwarder.networks {
		if n.local.Encrypts() && n.isSettled() {
			a.encryption.Settled(n.local.ID, n.local.VTEP.WireGuard)
		}
	}
}

// withKeys adds this host's keys to what is published of encrypted networks.
func (a *Agent) withKeys(networks []membership.Network) []membership.Network {
	for i := range networks {
		if a.encryption != nil && networks[i].Encrypts() {
			networks[i].Keys, networks[i].KeysVersion = a.encryption.VersionedKeys(networks[i].ID)
		}
	}
	return networks
}

// encryptionErrors says what is wrong with the encryption of networks.
func (a *Agent) encryptionErrors(networks []hoststate.Network) error {
	var errs []error
	for _, n := range networks {
		switch {
		case !n.Encrypts():
		case a.encryption == nil:
			errs = append(errs, fmt.Errorf("network %s: encryption: this agent cannot encrypt, so nothing leaves this host",
				n.Name))
		default:
			errs = append(errs, a.encryption.Err(n.ID))
		}
	}
	return errors.Join(errs...)
}

// encryptionTimeout is how long the start of a network's first container waits for WireGuard. It takes some
// 10 ms, and a second where systemd has much to do.
const encryptionTimeout = 2 * time.Second

// awaitEncryption waits until packets of a network can leave and the others are told by which key they come,
// if this host has just joined it. It returns a warning for the user.
func (a *Agent) awaitEncryption(ctx context.Context, networkID string) (warning string) {
	n, known := a.dns.Network(networkID)
	if !known || !n.Encrypts() || a.encryption == nil || n.VTEP.WireGuard != "" {
		return ""
	}
	publish := func() { // the loop tries again
		_ = a.requests.SyncNetworkAndWait(ctx, membership.EndpointKey{NetworkID: networkID})
	}
	if a.clusters.Lookup(a.clusters.bindAddr(n.Discovery, n.VTEP.Local)) == nil {
		publish() // which makes this host hear of the others, and of the generation of their keys
	}
	select {
	case <-a.encryption.Ready(networkID):
	case <-time.After(encryptionTimeout):
		return fmt.Sprintf("network %s is encrypted, and WireGuard is not ready after %v: nothing leaves this host until "+
			"it is; "+
			"`vxlanctl status` says why", n.Name, encryptionTimeout)
	case <-ctx.Done():
		return ""
	}
	publish()
	return ""
}

// retryEncryption tries again what has failed, so that whoever has mended its cause need not wait for the next time.
func (a *Agent) retryEncryption(ctx context.Context) {
	if a.encryption == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, encryptionTimeout)
	defer cancel()
	a.encryption.Retry(ctx)
}

// hosts is what is known of the network's other hosts, for its peers.
func (n *forwardedNetwork) hosts(d membership.Discovery) encryption.Hosts {
	h := encryption.Hosts{
		Members: n.roster.Members(), Synced: d.Synced, Partial: !n.known.complete, AllHolders: n.allHolders,
	}
	if n.allHolders || len(n.holders) > 0 {
		var addrs []netip.Addr // nil: all
		if !n.allHolders {
			addrs = n.holders
		}
		h.Holders = plan.Holders(n.local.HostNetwork(), n.knownRemotes(), addrs)
	}
	n.holders, n.allHolders = nil, false
	return h
}

// setTakers sets the hosts that take IP packets without a VXLAN header.
func (n *forwardedNetwork) setTakers(takers []netip.Addr) {
	if !slices.Equal(takers, n.takers) {
		n.takers, n.checkTakers = takers, true
	}
}

// isSettled tells whether all entries of the network are as wanted, as far as is known.
func (n *forwardedNetwork) isSettled() bool {
	return !n.isPending() && !n.checkAll && !n.failed && n.portsDue.IsZero()
}
