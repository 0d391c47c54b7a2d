package agent

import (
	"fmt"
	"log/slog"
	"slices"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// neighbourWatch says when the kernel has no room for neighbours. A container then does not find an
// address that it has not talked to before.
type neighbourWatch struct {
	log      *slog.Logger
	last     []kernel.NeighbourTable
	warnings []string // of the last look
}

// Look looks at the kernel's tables. The first look tells nothing, as it is not known when a table
// was full.
func (w *neighbourWatch) Look(s *hoststate.Session) error {
	tables, err := s.NeighbourTables()
	if err != nil {
		return err
	}
	var warnings []string
	for _, t := range tables {
		i := slices.IndexFunc(w.last, func(l kernel.NeighbourTable) bool { return l.IPv6 == t.IPv6 })
		if i >= 0 && t.Overflows > w.last[i].Overflows {
			warnings = append(warnings, neighbourWarning(t))
		}
	}
	for _, text := range warnings {
		if !slices.Contains(w.warnings, text) {
			w.log.Warn(text)
		}
	}
	w.last, w.warnings = tables, warnings
	return nil
}

func neighbourWarning(t kernel.NeighbourTable) string {
	family := "ipv4"
	if t.IPv6 {
		family = "ipv6"
	}
	return fmt.Sprintf("the kernel's neighbour table is full, so containers do not find new addresses: raise "+
		"net.%s.neigh.default.gc_thresh3, which is %d",
		family, t.Limit)
}
