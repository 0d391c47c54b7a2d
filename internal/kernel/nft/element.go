package nft

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// elementsPerMessage is how many elements a message has at most: the list is one attribute, and an
// element takes up to 120 bytes besides its comment.
const elementsPerMessage = 250

// appendElements appends a message for each run of elements of one set. The sets are those of the
// tables.
func (tx *Transaction) appendElements(tables []Table, typ, flags uint16, elements []kernel.Element) error {
	for len(elements) > 0 {
		t, s, ok := declarationOf(tables, elements[0].Set)
		if !ok {
			return fmt.Errorf("no set is called %q", elements[0].Set.Name)
		}
		n := slices.IndexFunc(elements, func(e kernel.Element) bool { return e.Set != s.Set })
		if n < 0 {
			n = len(elements)
		}
		n = min(n, elementsPerMessage)
		tx.add("elements of "+s.Name, typ, flags, s.Family, func(m *netlink.Builder) {
			s.appendElementList(m, t.Name, elements[:n])
		})
		elements = elements[n:]
	}
	return nil
}

// declarationOf returns the declaration of a set, and its table.
func declarationOf(tables []Table, s kernel.Set) (Table, Set, bool) {
	for _, t := range tables {
		for _, declared := range t.Sets {
			if declared.Set == s {
				return t, declared, true
			}
		}
	}
	return Table{}, Set{}, false
}

func (s Set) appendElementList(m *netlink.Builder, table string, elements []kernel.Element) {
	m.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	m.Text(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	m.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		for _, e := range elements {
			s.appendElement(m, e)
		}
	})
}

// appendElement appends an element. Of a range of one part the kernel wants two: the first key, and
// the one after the last.
func (s Set) appendElement(m *netlink.Builder, e kernel.Element) {
	m.Nest(unix.NFTA_LIST_ELEM, func() {
		appendValue(m, unix.NFTA_SET_ELEM_KEY, e.Key.First())
		if s.flags()&setConcat != 0 {
			appendValue(m, elemKeyEnd, e.Key.Last())
		}
		if e.Value.Chain() != "" {
			m.Nest(unix.NFTA_SET_ELEM_DATA, func() { appendVerdict(m, unix.NFT_JUMP, e.Value.Chain()) })
		} else if !e.Value.IsZero() {
			appendValue(m, unix.NFTA_SET_ELEM_DATA, e.Value.First())
		}
		if e.Comment != "" {
			m.Bytes(unix.NFTA_SET_ELEM_USERDATA, commentUserdata(udComment, e.Comment))
		}
	})
	if !s.Ranges || s.flags()&setConcat != 0 {
		return
	}
	if end, ok := nextKey(e.Key.Last()); ok {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			appendValue(m, unix.NFTA_SET_ELEM_KEY, end)
			m.Uint32BE(unix.NFTA_SET_ELEM_FLAGS, elemIntervalEnd)
		})
	}
}

func appendValue(m *netlink.Builder, typ uint16, data []byte) {
	m.Nest(typ, func() { m.Bytes(unix.NFTA_DATA_VALUE, data) })
}

// nextKey returns the next key, unless there is none.
func nextKey(key []byte) (next []byte, ok bool) {
	next = slices.Clone(key)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

// foundElement is an element as the kernel has it.
type foundElement struct {
	key       []byte
	keyEnd    []byte // of a range of several parts
	endsRange bool   // the key is the one after the last
	isDefault bool   // it has no key, and matches what no other one does
	value     []byte
	verdict   int32
	chain     string
	comment   string
}

// hasValueOf tells whether it has the value of e.
func (f foundElement) hasValueOf(e kernel.Element) bool {
	return bytes.Equal(f.value, e.Value.First()) && f.chain == e.Value.Chain()
}

// lookUpElement asks for the element with the key of e.
func (c *Conn) lookUpElement(tables []Table, e kernel.Element) (f foundElement, ok bool, err error) {
	t, s, known := declarationOf(tables, e.Set)
	if !known {
		return f, false, fmt.Errorf("no set is called %q", e.Set.Name)
	}
	// The acknowledgement ends the answers: of a range there are two.
	m := newRequest(unix.NFT_MSG_GETSETELEM, unix.NLM_F_ACK, s.Family)
	s.appendElementList(m, t.Name, []kernel.Element{{Key: e.Key}})
	answers, err := c.execute(m)
	if isMissing(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("look up %s in %s: %w", e.Key, s.Name, err)
	}
	for _, f := range parseElements(answers) {
		return f, true, nil
	}
	return f, false, nil
}

// HasElement tells whether a set of the table has an element with the key of e.
func (c *Conn) HasElement(t Table, e kernel.Element) (bool, error) {
	_, ok, err := c.lookUpElement([]Table{t}, e)
	return ok, err
}

// EachElementKey calls each with the keys of all elements of a table's set, which may be many: a key
// is valid during the call. Before the first one begin is called, and again where the set is read
// anew.
func (c *Conn) EachElementKey(t Table, set kernel.Set, begin func(), each func(key []byte)) error {
	err := c.socket.ExecuteEach(listRequest(t, set), begin, func(body []byte) {
		for _, e := range parseElements(withoutHeaders([][]byte{body})) {
			each(e.key)
		}
	})
	if err != nil {
		return fmt.Errorf("read set %s: %w", set.Name, err)
	}
	return nil
}

// setElements returns what the kernel lists of a set.
func (c *Conn) setElements(t Table, set kernel.Set) ([]foundElement, error) {
	answers, err := c.execute(listRequest(t, set))
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", set.Name, err)
	}
	return parseElements(answers), nil
}

func listRequest(t Table, set kernel.Set) *netlink.Builder {
	m := newRequest(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, set.Family)
	m.Text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
	m.Text(unix.NFTA_SET_ELEM_LIST_SET, set.Name)
	return m
}

// elements returns what was found in the set as elements. Of a range of one part the kernel lists
// the first key and the one after the last, in either order.
func (s Set) elements(found []foundElement, hasChain func(string) bool) (all []kernel.Element) {
	simpleRange := s.Ranges && s.flags()&setConcat == 0
	for _, f := range found {
		if f.endsRange || len(f.key) != s.keyLen() || !s.fitsValue(f, hasChain) {
			continue
		}
		last := f.key
		switch {
		case f.keyEnd != nil:
			last = f.keyEnd
		case simpleRange:
			last = lastOfRange(found, f.key)
		}
		e := kernel.Element{Set: s.Set, Key: kernel.Raw(f.key, last), Comment: f.comment}
		if f.chain != "" {
			e.Value = kernel.Jump(f.chain)
		} else if len(f.value) > 0 {
			e.Value = kernel.Raw(f.value, f.value)
		}
		all = append(all, e)
	}
	return all
}

// fitsValue tells whether an element that was found has a value as the set has them.
func (s Set) fitsValue(f foundElement, hasChain func(string) bool) bool {
	if f.chain != "" {
		return hasChain(f.chain)
	}
	return len(f.value) == s.valueLen()
}

// keyLen is the length of a key in bytes. Of several parts each fills a multiple of four.
func (s Set) keyLen() int { return fieldsLen(s.Key) }

// valueLen is the length of a value in bytes.
func (s Set) valueLen() int { return fieldsLen(s.Value) }

func fieldsLen(fields []Field) (n int) {
	if len(fields) == 1 {
		return fields[0].size
	}
	for _, f := range fields {
		n += (f.size + 3) &^ 3
	}
	return n
}

// lastOfRange returns the last key of the range that begins with first: the one before the next
// end. A range up to the greatest key has no end.
func lastOfRange(found []foundElement, first []byte) []byte {
	var end []byte
	for _, f := range found {
		if f.endsRange && bytes.Compare(f.key, first) > 0 && (end == nil || bytes.Compare(f.key, end) < 0) {
			end = f.key
		}
	}
	return keyBefore(end, len(first))
}

// keyBefore returns the key of that length before another one; for nil the greatest.
func keyBefore(end []byte, length int) []byte {
	last := make([]byte, length)
	copy(last, end)
	for i := len(last) - 1; i >= 0; i-- {
		if last[i]--; last[i] != 0xff {
			break
		}
	}
	return last
}

func parseElements(answers [][]byte) (all []foundElement) {
	for _, r := range answers {
		for typ, list := range netlink.Attrs(r) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, one := range netlink.Attrs(list) {
				all = append(all, parseElement(one))
			}
		}
	}
	return all
}

func parseElement(b []byte) (f foundElement) {
	for typ, b := range netlink.Attrs(b) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			f.key = netlink.Find(b, unix.NFTA_DATA_VALUE)
		case elemKeyEnd:
			f.keyEnd = netlink.Find(b, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_FLAGS:
			flags := netlink.Uint32BE(b)
			f.endsRange, f.isDefault = flags&elemIntervalEnd != 0, flags&elemIsCatchAll != 0
		case unix.NFTA_SET_ELEM_DATA:
			f.parseValue(b)
		case unix.NFTA_SET_ELEM_USERDATA:
			f.comment = parseComment(b)
		}
	}
	return f
}

func (f *foundElement) parseValue(b []byte) {
	for typ, b := range netlink.Attrs(b) {
		if typ == unix.NFTA_DATA_VALUE {
			f.value = b
		}
		if typ != unix.NFTA_DATA_VERDICT {
			continue
		}
		for typ, b := range netlink.Attrs(b) {
			if typ == unix.NFTA_VERDICT_CHAIN {
				f.chain = netlink.Text(b)
			}
			if typ == unix.NFTA_VERDICT_CODE {
				f.verdict = int32(netlink.Uint32BE(b))
			}
		}
	}
}
