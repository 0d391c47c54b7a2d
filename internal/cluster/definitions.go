package cluster

import (
	"context"
	"errors"
)

// Definitions keeps networks that are defined once for all hosts. It is a connection to whoever keeps them,
// and needs no Plane that runs.
type Definitions interface {
	// Find returns the network of a name. It is ErrNotDefined if there is none.
	Find(ctx context.Context, name string) (DefinedNetwork, error)
	// List returns all networks, by name.
	List(ctx context.Context) ([]DefinedNetwork, error)
	// PickVNI returns a VNI of the range that no network has with the port.
	PickVNI(ctx context.Context, port uint16, from VNIRange, isUsed func(vni uint32) bool) (uint32, error)
	// Define claims the name and the VNI of a network for its value, and notes that this host has it, all in
	// one transaction. It is ErrDefined if the name was defined meanwhile, and a VNITakenError if another
	// network has the VNI. Of a VNI that was picked nothing must be left of an earlier network.
	Define(ctx context.Context, d DefinedNetwork, isPicked bool) error
	// Use notes that this host has the network as it was found. It is ErrNotDefined if it changed meanwhile.
	Use(ctx context.Context, d DefinedNetwork) error
	// Retire gives up the name and the VNI of a network that nobody uses. Otherwise it returns who does.
	// isHere tells whether this host has the network.
	Retire(ctx context.Context, name string, isHere bool) ([]DefinitionUse, error)
	Close() error
}

// DefinedNetwork is a network that is defined once for all hosts.
type DefinedNetwork struct {
	Name     string
	Network  NetworkKey
	Value    []byte // for package definition
	Revision int64  // of the value; 0: it was not read
	// Hosts are those that have created the network, by name. Only List tells.
	Hosts []DefinitionUse
}

// DefinitionUse is a host that uses a network.
type DefinitionUse struct {
	Host string `json:"host"`
	Self bool   `json:"self,omitempty"` // it is this one
	// Containers are how many it has on the network, as far as that was asked.
	Containers int `json:"containers,omitempty"`
}

// VNIRange has VNIs from First to Last.
type VNIRange struct{ First, Last uint32 }

var (
	// ErrNotDefined says that there is no network of the name.
	ErrNotDefined = errors.New("it is not defined in etcd")
	// ErrDefined says that there is one already.
	ErrDefined = errors.New("it is defined in etcd already")
)

// VNITakenError says which network has a VNI; "": one that is not defined.
type VNITakenError struct{ By string }

// Error says it.
func (e VNITakenError) Error() string {
	if e.By == "" {
		return "hosts have containers on another network of this vni, which is not defined in etcd"
	}
	return "network " + e.By + " has this vni in etcd"
}
