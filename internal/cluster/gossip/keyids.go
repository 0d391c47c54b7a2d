package gossip

// IDs returns the keys that are used, each by its hash. The first encrypts.
func (f *KeyFile) IDs() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.keys {
		ids = append(ids, k.ID())
	}
	return ids
}
