package kernel

// NeighbourTable is the kernel's table of a family's neighbours, which all network namespaces
// share. Permanent entries do not count against its limit (Linux 5.0).
type NeighbourTable struct {
	IPv6      bool
	Limit     uint32 // entries (gc_thresh3)
	Overflows uint64 // how often an entry found no room since the boot
}
