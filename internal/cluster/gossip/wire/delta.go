package wire

import (
	"bytes"
	"fmt"

	"vxlan-driver/internal/cluster"
)

// Delta turns one version of its sender's record into a later one. It changes bytes, and not what
// they mean. So a host applies it also where it does not know all of the content, and comes to the
// same bytes as the owner.
type Delta struct {
	Base, Version Version
	Edits         []Edit
}

// Edit is one step from the bytes of a record to those of the next: some stay, some go, and others
// come in their place. After the last edit, all stay.
type Edit struct {
	Keep, Drop int // bytes
	Insert     []byte
}

// maxEdits is one for each section of the largest record, and for each of the one before.
const maxEdits = 2 * (1 + cluster.MaxMemberships + cluster.MaxEndpoints)

// Diff returns the delta between two records of one host. Both are in canonical order, so that a
// section that is in both has the same ones before it, but for what came or went.
func Diff(from, to Record) Delta {
	d := Delta{Base: from.Version, Version: to.Version}
	old := Sections(from.Raw)
	position := make(map[string]int, len(old))
	for i, section := range old {
		position[string(section)] = i
	}
	next := 0 // of old, to be looked at
	var e Edit
	for _, section := range Sections(to.Raw) {
		at, exists := position[string(section)]
		if !exists || at < next {
			e.Insert = append(e.Insert, section...)
			continue
		}
		for ; next < at; next++ {
			e.Drop += len(old[next])
		}
		if e.Drop > 0 || len(e.Insert) > 0 {
			d.Edits, e = append(d.Edits, e), Edit{}
		}
		e.Keep, next = e.Keep+len(section), at+1
	}
	for ; next < len(old); next++ {
		e.Drop += len(old[next])
	}
	if e.Drop > 0 || len(e.Insert) > 0 {
		d.Edits = append(d.Edits, e)
	}
	return d
}

// Apply returns the record that d makes of r. It checks by the checksum that this is the record
// that its owner has.
func (d Delta) Apply(r Record) (Record, error) {
	next := Record{Key: r.Key, Version: d.Version}
	var err error
	if next.Raw, err = d.editBytes(r.Raw); err != nil {
		return Record{}, err
	}
	if checksumOf(next.Raw) != d.Version.Checksum {
		return Record{}, fmt.Errorf("%w: delta does not lead to the version it claims", ErrMalformed)
	}
	if err := next.parse(endpointsOf(r)); err != nil {
		return Record{}, err
	}
	return next, nil
}

// editBytes returns the changed bytes, and leaves old as it is.
func (d Delta) editBytes(old []byte) ([]byte, error) {
	var next bytes.Buffer
	next.Grow(len(old) + d.inserted())
	for _, e := range d.Edits {
		if e.Keep > len(old) || e.Drop > len(old)-e.Keep {
			return nil, fmt.Errorf("%w: delta is of another record", ErrMalformed)
		}
		next.Write(old[:e.Keep])
		next.Write(e.Insert)
		old = old[e.Keep+e.Drop:]
		if next.Len()+len(old) > MaxRecord {
			return nil, fmt.Errorf("%w: delta leads to over %d bytes", ErrMalformed, MaxRecord)
		}
	}
	next.Write(old)
	return next.Bytes(), nil
}

// inserted returns how many bytes come new.
func (d Delta) inserted() (n int) {
	for _, e := range d.Edits {
		n += len(e.Insert)
	}
	return n
}
