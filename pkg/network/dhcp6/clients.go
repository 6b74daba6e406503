package dhcp6

import (
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/router"
)

// Clients returns the clients for all methods of IPv6 that need one, as they work on the running kernel: DHCP6, Auto6, Either6 and
// Link6. Of t only Router and Duplicate matter.
func Clients(t network.Timeouts) map[network.Method]network.Client {
	link := router.Link{Duplicate: t.Duplicate}
	client := Client{LinkLocal: link}
	auto := router.Auto{Inform: client, Router: t.Router, Duplicate: t.Duplicate}
	return map[network.Method]network.Client{
		network.DHCP6:   client,
		network.Auto6:   auto,
		network.Either6: router.Either{Auto: auto, Managed: client},
		network.Link6:   link,
	}
}
