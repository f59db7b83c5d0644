package replicate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attributesOf gives the attributes and access lists of an open file that do not
// belong to this machine. A file system that knows none has none.
func attributesOf(f *os.File) (map[string]string, error) {
	fd, names := int(f.Fd()), make([]byte, 64<<10) // the most that Linux allows, xattr(7)
	n, err := unix.Flistxattr(fd, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, value := map[string]string{}, make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !travels(name) {
			continue
		}
		n, err := unix.Fgetxattr(fd, name, value)
		switch {
		case errors.Is(err, unix.ENODATA):
		case err != nil:
			return nil, fmt.Errorf("read the attribute %.80q: %w", name, err)
		default:
			all[name] = string(value[:n])
		}
	}
	return all, nil
}

// paxOf writes attributes as star and GNU tar do: access lists as text, with
// numbers for users. What PAX cannot name is left out.
func paxOf(attributes map[string]string) (map[string]string, error) {
	records := map[string]string{}
	for name, value := range attributes {
		key := "SCHILY.xattr." + name
		if slices.Contains(acls, name) {
			text, err := listText([]byte(value))
			if err != nil {
				return nil, err
			}
			key, value = "SCHILY.acl."+strings.TrimPrefix(name, "system.posix_acl_"), text
		}
		if value != "" && !strings.ContainsAny(key, "=\x00") {
			records[key] = value
		}
	}
	return records, nil
}

// listText writes an access list in its short text form, acl(5). The kernel's
// form is a version and entries of a tag, rights and a number (xattr of
// posix_acl, include/uapi/linux/posix_acl_xattr.h).
func listText(list []byte) (string, error) {
	if len(list) < 4 || len(list)%8 != 4 || binary.LittleEndian.Uint32(list) != 2 {
		return "", fmt.Errorf("an access list of %d bytes has no form that is known", len(list))
	}
	tags := map[uint16]string{0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}
	var all []string
	for e := list[4:]; len(e) > 0; e = e[8:] {
		tag, rights, id := binary.LittleEndian.Uint16(e), binary.LittleEndian.Uint16(e[2:]), binary.LittleEndian.Uint32(e[4:])
		text, known := tags[tag]
		if !known {
			return "", fmt.Errorf("an access list has an entry %#x that is not known", tag)
		}
		if tag == 0x02 || tag == 0x08 {
			text += fmt.Sprint(id)
		}
		text += ":"
		for i, letter := range "rwx" {
			if rights&(4>>i) == 0 {
				letter = '-'
			}
			text += string(letter)
		}
		all = append(all, text)
	}
	return strings.Join(all, ","), nil
}

// giveAttributes gives a copy the attributes of a file, as far as it can have
// them.
func giveAttributes(from, to *os.File) error {
	all, err := attributesOf(from)
	for name, value := range all {
		e := unix.Fsetxattr(int(to.Fd()), name, []byte(value), 0)
		if e != nil && !errors.Is(e, unix.EPERM) && !errors.Is(e, unix.ENOTSUP) {
			err = errors.Join(err, fmt.Errorf("set the attribute %.80q: %w", name, e))
		}
	}
	return err
}
