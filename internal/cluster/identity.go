package cluster

import "encoding/hex"

// HostID identifies a host for as long as it is installed, whatever its name and addresses are. It
// is random, so two hosts have the same only if one is a copy of the other.
type HostID [16]byte

// IsZero tells whether this is no ID.
func (id HostID) IsZero() bool { return id == HostID{} }

// Matches tells whether both IDs are known and the same.
func (id HostID) Matches(o HostID) bool { return !id.IsZero() && id == o }

// String prints the ID as 32 hexadecimal digits.
func (id HostID) String() string { return hex.EncodeToString(id[:]) }

// ParseHostID reads what String prints.
func ParseHostID(text string) (id HostID, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return HostID{}, false
	}
	if id = HostID(raw); id.IsZero() || id.String() != text { // which is in lower case
		return HostID{}, false
	}
	return id, true
}
