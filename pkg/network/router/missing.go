package router

import (
	"errors"
	"fmt"

	"github.com/liveboot/liveboot/pkg/network"
)

// hopeless returns an error where no waiting helps.
func (s *search) hopeless() error {
	if ip, ok := s.known.duplicate(); ok {
		return &network.DuplicateError{Address: ip}
	}
	if s.managedError != nil && len(s.known.routers) > 0 && !s.known.autonomous() {
		return s.managedError
	}
	return nil
}

// missing says what an address is still lacking.
func (s *search) missing() error {
	err := s.lacking()
	if s.managedError != nil {
		return fmt.Errorf("%w, and by DHCPv6: %w", err, s.managedError)
	}
	if s.asking == all {
		return fmt.Errorf("%w, and no answer by DHCPv6", err)
	}
	return err
}

func (s *search) lacking() error {
	k := &s.known
	if len(k.routers) == 0 {
		return s.silence()
	}
	router := k.routers[0].router
	if !k.autonomous() {
		if k.managed() && s.managed == nil {
			return fmt.Errorf("the router %v gives no prefix to make an address of, but says that DHCPv6 gives addresses (ip=dhcp6)", router)
		}
		return fmt.Errorf("the router %v gives no prefix to make an address of", router)
	}
	if ip, ok := k.tentative(); ok {
		return fmt.Errorf("the kernel has not found out yet whether %v is a duplicate", ip)
	}
	return fmt.Errorf("the kernel made no address of the prefix that the router %v gives", router)
}

// silence is for routers that were not heard.
func (s *search) silence() error {
	if s.sent == 0 && s.sendError != nil {
		return fmt.Errorf("no router advertisement, and no solicitation could be sent: %w", s.sendError)
	}
	if s.sent == 1 {
		return errors.New("no router advertisement after 1 solicitation")
	}
	return fmt.Errorf("no router advertisement after %d solicitations", s.sent)
}
