package wire

import "vxlan-driver/internal/cluster"

// The flags of a key. A reader ignores those that it does not know.
const (
	flagTakesIP = 1 << iota
	flagSends
)

// putTunnelKeys writes the keys of an encrypted network.
func (w *writer) putTunnelKeys(keys []cluster.TunnelKey) {
	if len(keys) > 0 {
		w.putField(tagTunnelKeys, func(w *writer) { putList(w, keys, w.putTunnelKey) })
	}
}

// putKeysVersion writes by what the keys of another plane are told from later ones.
func (w *writer) putKeysVersion(version uint64) {
	if version > 0 {
		w.putField(tagKeysVersion, func(w *writer) { w.putUint(version) })
	}
}

func (w *writer) putTunnelKey(k cluster.TunnelKey) {
	w.putUint(k.Generation)
	w.putRaw(k.Public[:])
	w.putUint(uint64(k.Port))
	var flags uint64
	if k.TakesIP {
		flags |= flagTakesIP
	}
	if k.Sends {
		flags |= flagSends
	}
	w.putUint(flags)
}

func (r *reader) readTunnelKey() cluster.TunnelKey {
	k := cluster.TunnelKey{Generation: r.readUint(cluster.MaxGeneration)}
	k.Public = [32]byte(r.readRaw(len(k.Public)))
	k.Port = uint16(r.readUint(1<<16 - 1))
	flags := r.readUint(1<<64 - 1)
	k.TakesIP, k.Sends = flags&flagTakesIP != 0, flags&flagSends != 0
	return k
}
