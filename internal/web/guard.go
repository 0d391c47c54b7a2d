package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ParseAddress reads where to listen. Only a loopback address will do: the page has no password.
func ParseAddress(text string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, fmt.Errorf("%q: must be an address with a port, such as 127.0.0.1:%d", text, DefaultPort)
	}
	if !addr.Addr().IsLoopback() {
		return addr, fmt.Errorf("%s: must be a loopback address, such as 127.0.0.1, since the page has no password; "+
			"from another host use `ssh -L %d:127.0.0.1:%[2]d HOST`", text, DefaultPort)
	}
	return addr, nil
}

// contentPolicy lets the page load and do nothing but what this server has.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// picturePolicy is that of a picture, which styles itself.
const picturePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

// guarded refuses requests that do not come from this host's own pages, and says to browsers that
// nothing here is for other pages.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this page can only be read", http.StatusMethodNotAllowed)
		case !isLoopback(r.RemoteAddr):
			http.Error(w, "this page is for this host only", http.StatusForbidden)
		case !isLocalName(r.Host):
			http.Error(w, "call this page http://127.0.0.1 or http://localhost", http.StatusForbidden)
		case isForeign(r):
			http.Error(w, "this page is not for other pages", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func isLoopback(addrPort string) bool {
	a, err := netip.ParseAddrPort(addrPort)
	return err == nil && a.Addr().IsLoopback()
}

// isLocalName tells whether a Host header is one that only this host can have. Any other name may be
// an attacker's that was made to resolve to 127.0.0.1 (DNS rebinding). The port may be that of a
// tunnel.
func isLocalName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && a.IsLoopback()
}

// isForeign tells whether a page of another server, which may be one on this host, makes the
// browser ask. A link to here may be followed.
func isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}
