package foreignfilter

import "bytes"

// truth is the outcome of a comparison with something that is known only in part.
type truth int

const (
	no truth = iota
	maybe
	yes
)

func (t truth) not() truth { return yes - t }

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// value is bytes of a packet. A bit that is zero in known may be anything.
type value struct{ bits, known []byte }

func unknownValue(n int) value { return value{make([]byte, n), make([]byte, n)} }

func knownValue(b []byte) value { return value{b, bytes.Repeat([]byte{0xff}, len(b))} }

// copyTo puts the value where v is, as much as fits.
func (v value) copyTo(dst value) {
	copy(dst.bits, v.bits)
	copy(dst.known, v.known)
}

// slice returns n bytes of the value. What is beyond it is not known.
func (v value) slice(from, n int) value {
	part := unknownValue(n)
	if from >= 0 && from < len(v.bits) {
		value{v.bits[from:], v.known[from:]}.copyTo(part)
	}
	return part
}

// bounds returns the least and the greatest that the value may be.
func (v value) bounds() (least, greatest []byte) {
	least, greatest = make([]byte, len(v.bits)), make([]byte, len(v.bits))
	for i := range v.bits {
		least[i] = v.bits[i] & v.known[i]
		greatest[i] = v.bits[i] | ^v.known[i]
	}
	return least, greatest
}

// equals compares with b.
func (v value) equals(b []byte) truth {
	result := yes
	for i := range min(len(b), len(v.bits)) {
		if (v.bits[i]^b[i])&v.known[i] != 0 {
			return no
		}
		if v.known[i] != 0xff {
			result = maybe
		}
	}
	return result
}

// within tells whether the value is from first to last.
func (v value) within(first, last []byte) truth {
	if bytes.Equal(first, last) {
		return v.equals(first)
	}
	least, greatest := v.bounds()
	switch {
	case bytes.Compare(greatest, first) < 0 || bytes.Compare(least, last) > 0:
		return no
	case bytes.Compare(least, first) >= 0 && bytes.Compare(greatest, last) <= 0:
		return yes
	}
	return maybe
}

// masked returns the value with a mask applied, and then an exclusive or.
func (v value) masked(mask, xor []byte) value {
	result := unknownValue(len(v.bits))
	for i := range result.bits {
		m, x := byteAt(mask, i), byteAt(xor, i)
		result.bits[i] = v.bits[i]&m ^ x
		result.known[i] = v.known[i] | ^m
	}
	return result
}

func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// The comparisons of a rule (enum nft_cmp_ops).
const (
	compareEqual = iota
	compareNotEqual
	compareLess
	compareLessOrEqual
	compareGreater
	compareGreaterOrEqual
)

// compare compares by an operator.
func (v value) compare(op uint32, b []byte) truth {
	lowest, highest := make([]byte, len(b)), bytes.Repeat([]byte{0xff}, len(b))
	switch op {
	case compareEqual:
		return v.equals(b)
	case compareNotEqual:
		return v.equals(b).not()
	case compareLessOrEqual:
		return v.within(lowest, b)
	case compareGreater:
		return v.within(lowest, b).not()
	case compareGreaterOrEqual:
		return v.within(b, highest)
	case compareLess:
		return v.within(b, highest).not()
	}
	return maybe
}
