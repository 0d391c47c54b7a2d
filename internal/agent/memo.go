package agent

// memo keeps what was made of things that do not change, by their address: as long as it is kept,
// no other thing can have it.
type memo[K, V any] struct {
	have map[*K]V
	used int // how often it was asked since it was trimmed
}

// of returns what make makes of a thing.
func (m *memo[K, V]) of(k *K, make func(*K) V) V {
	m.used++
	v, ok := m.have[k]
	if !ok {
		if m.have == nil {
			m.have = map[*K]V{}
		}
		v = make(k)
		m.have[k] = v
	}
	return v
}

// trim comes after each round through all things there are, and forgets all when most of what is kept is of things that
// are gone.
func (m *memo[K, V]) trim() {
	if len(m.have) > 2*m.used {
		clear(m.have)
	}
	m.used = 0
}
