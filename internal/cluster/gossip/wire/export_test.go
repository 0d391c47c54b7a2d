package wire

// EncodeContent and DecodeContent are a record without its checksum, for fuzzing.
func EncodeContent(r Record) []byte { return encodeContent(r) }

func DecodeContent(raw []byte) (Record, error) { return decodeContent(raw, earlierEndpoints{}) }

// ChecksumAfter returns the checksum of what a delta makes of a record, if that is valid.
func (d Delta) ChecksumAfter(r Record) Checksum {
	raw, _ := d.editBytes(r.Raw)
	return checksumOf(raw)
}
