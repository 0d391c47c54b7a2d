package wire

import "vxlan-driver/internal/cluster"

// EncodeContent and DecodeContent are a record without its checksum, for fuzzing.
func EncodeContent(left bool, memberships []cluster.Membership) []byte {
	return encodeContent(left, memberships)
}

func DecodeContent(raw []byte) (left bool, memberships []cluster.Membership, err error) {
	return decodeContent(raw)
}

// ChecksumAfter returns the checksum of what a delta makes of a record, if that is valid.
func (d Delta) ChecksumAfter(r Record) Checksum {
	raw, _ := d.editBytes(r.Raw)
	return checksumOf(raw)
}
