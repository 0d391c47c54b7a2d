// Package dns answers container names on each network's own addresses on this host.
//
// Server.Set tells it the desired zones. Where names come from, and which other hosts know them, is
// not its concern. It decides as aardvark-dns does, Podman's own resolver, unless a comment says
// why not.
//
// A query goes through these files from top to bottom:
//
//	listener.go    receives it, over UDP or TCP
//	query.go       parses it, and packs replies
//	multihomed.go  picks the views for the client
//	answer.go      answers it from the views, or says that it must be forwarded
//	lookup.go      looks a name up in a view
//	view.go        is a zone, indexed by name
//	limit.go       limits what a client may have forwarded
//	forward.go     picks upstreams
//	upstream.go    asks one of them
//
// server.go and zone.go are the desired state, and socket.go opens the sockets for it.
package dns
