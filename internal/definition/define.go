package definition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Definer makes new networks whole, of what is given and what is defined.
type Definer struct {
	cluster.Definitions
	// VNIs are those of which a network gets one that is defined without.
	VNIs cluster.VNIRange
	// UsedVNIs returns those that this host has with a port, on networks that are not in etcd.
	UsedVNIs func(port uint16) ([]uint32, error)
}

// newNetwork is a network that is about to be created on this host.
type newNetwork struct {
	Definer
	config, proposed []byte
	given            adopt.Definition
}

// Complete returns what a network is to be, of which config is what was given. If that is what was proposed
// before, the network is defined then, and this host noted. So a host checks a proposal before others see
// it. The warning is for whoever creates the network.
func (d Definer) Complete(ctx context.Context, config, proposed []byte) (whole []byte, warning string, err error) {
	given, err := Read(config)
	if err != nil {
		return nil, "", err
	}
	n := newNetwork{d, config, proposed, given}
	for {
		whole, warning, err = n.attempt(ctx)
		if !errors.Is(err, cluster.ErrDefined) && !errors.Is(err, cluster.ErrNotDefined) {
			return whole, warning, err
		}
		// Another host was quicker.
	}
}

// attempt fails with ErrDefined or ErrNotDefined if another host has changed the definition meanwhile.
func (n newNetwork) attempt(ctx context.Context) (config []byte, warning string, err error) {
	found, err := n.Find(ctx, n.given.Name)
	if errors.Is(err, cluster.ErrNotDefined) {
		if config, err = n.defineNew(ctx); err != nil {
			err = fmt.Errorf("network %s: %w", n.given.Name, err)
		}
		return config, "", err
	}
	if err != nil {
		return nil, "", fmt.Errorf("network %s: look it up in etcd: %w", n.given.Name, err)
	}
	defined, ignored, err := Decode(found.Name, found.Value)
	if err != nil {
		return nil, "", err
	}
	config, err = Apply(n.config, defined)
	if err != nil || !bytes.Equal(config, n.proposed) {
		return config, "", err
	}
	if len(ignored) > 0 {
		warning = fmt.Sprintf("network %s: this version does not know %s of its definition in etcd, and leaves that out",
			found.Name, strings.Join(ignored, ", "))
	}
	if err := n.Use(ctx, found); err != nil {
		return nil, "", fmt.Errorf("network %s: note in etcd that this host has it: %w", found.Name, err)
	}
	return config, warning, nil
}

// defineNew proposes a network that is not defined, or defines what was proposed.
func (n newNetwork) defineNew(ctx context.Context) ([]byte, error) {
	if len(n.given.Subnets) == 0 && !n.given.NoAddress {
		return nil, n.explainUndefined(ctx)
	}
	config, err := complete(n.config)
	if err != nil {
		return nil, err
	}
	isPicked := n.given.Options["vni"] == ""
	if len(n.proposed) == 0 {
		return n.propose(ctx, config, isPicked)
	}
	proposed, err := Read(n.proposed)
	if err != nil {
		return nil, err
	}
	if isPicked {
		if config, err = withVNI(config, proposed.VNI()); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(config, n.proposed) { // it was made of a definition that is gone
		return n.propose(ctx, config, isPicked)
	}
	if _, err := network.ParseStored(config); err != nil {
		return nil, err // whoever asks has not checked it
	}
	return n.claim(ctx, proposed, isPicked)
}

// claim defines what was proposed, unless another host was quicker.
func (n newNetwork) claim(ctx context.Context, proposed adopt.Definition, isPicked bool) ([]byte, error) {
	value, err := Encode(proposed)
	if err != nil {
		return nil, err
	}
	err = n.Define(ctx, cluster.DefinedNetwork{Name: proposed.Name, Value: []byte(value),
		Network: cluster.NetworkKey{VNI: proposed.VNI(), Port: proposed.Port()}}, isPicked)
	_, isTaken := errors.AsType[cluster.VNITakenError](err)
	switch {
	case isTaken && isPicked:
		return n.propose(ctx, n.proposed, isPicked)
	case isTaken:
		return nil, fmt.Errorf("--opt vni=%d: %w; give another, or leave it out", proposed.VNI(), err)
	case err != nil:
		return nil, fmt.Errorf("define it in etcd: %w", err)
	}
	return n.proposed, nil
}

// propose completes what is given of a network that is not defined.
func (n newNetwork) propose(ctx context.Context, config []byte, isPicked bool) ([]byte, error) {
	if !isPicked {
		return config, nil
	}
	used, err := n.UsedVNIs(n.given.Port())
	if err != nil {
		return nil, err
	}
	vni, err := n.PickVNI(ctx, n.given.Port(), n.VNIs, func(vni uint32) bool { return slices.Contains(used, vni) })
	if err != nil {
		return nil, fmt.Errorf("pick a vni: %w", err)
	}
	return withVNI(config, vni)
}

// explainUndefined says what is to be given, and what there is, since the name may be mistyped.
func (n newNetwork) explainUndefined(ctx context.Context) error {
	all, err := n.List(ctx)
	if err != nil {
		return fmt.Errorf("list the networks in etcd: %w", err)
	}
	var names []string
	for _, other := range all {
		names = append(names, other.Name)
	}
	const most = 20
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return fmt.Errorf("it is not defined in etcd, so its first host defines it: give --subnet too; networks in etcd: %s",
		strings.Join(names, ", "))
}
