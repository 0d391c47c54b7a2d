package definition

import (
	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
)

// Listed is a network that is defined in etcd, as an agent tells of it.
type Listed struct {
	Definition adopt.Definition        `json:"definition"`
	Hosts      []cluster.DefinitionUse `json:"hosts"`             // that have created it
	Problem    string                  `json:"problem,omitempty"` // why this version cannot use it
}

// Retirement is what came of giving up a network's definition.
type Retirement struct {
	Defined bool                    `json:"defined"` // before
	Uses    []cluster.DefinitionUse `json:"uses"`    // because of which it stays
}
