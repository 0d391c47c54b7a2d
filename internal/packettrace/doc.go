// Package packettrace follows packets through this host's firewall rules, with `nft monitor trace`.
package packettrace
