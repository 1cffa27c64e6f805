package corpus

// nginx is the command of a server with what some fixes are about.
const nginx = `bash -c 'mkdir -p logs files; echo text >files/a; printf "daemon off; user root; worker_processes 1; error_log stderr; events {} http { server { listen 127.0.0.1:5081;
location /dav/ { alias {dir}/files/; dav_methods COPY MOVE; }
location /escape { rewrite ^(.*) /new?c=1; set \$myvar \$1; return 200 \"[\$myvar]\"; }
location /overlap { rewrite ^/((.*))\$ http://h/?\$1\$2; return 200 foo; } } }" >nginx.conf; exec {target} -p {dir} -e stderr -c {dir}/nginx.conf'`

// Packages is the table.
func Packages() []*Package {
	return []*Package{
		{
			Name: "dnsmasq", Kind: "daemon", Build: "make", Fast: true,
			Needs:   []string{"nettle-dev", "libgmp-dev", "pkg-config"},
			Script:  `make CFLAGS="$CFLAGS $CPPFLAGS" LDFLAGS="$LDFLAGS" COPTS=-DHAVE_DNSSEC`,
			Targets: []string{"src/dnsmasq"},
			Live:    "{target} -k -p 5399 -u root --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces -x {dir}/pid",
			Fixes: []Fix{
				{Patch: "CVE-2026-2291.patch", Refused: "layout of union bigname"},
				{Patch: "CVE-2026-4890.patch"},
				{Patch: "CVE-2026-4891.patch"},
				{Patch: "CVE-2026-4892.patch"},
				{Patch: "CVE-2026-4893.patch", Shows: &Behaviour{
					Run: "{target} -k -p 5397 -u root --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces -x {dir}/pid --server=127.0.0.1#5398 --add-subnet=24",
					Ask: `python3 - <<'END'
import os, socket, struct
upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
upstream.bind(("127.0.0.1", 5398))
upstream.settimeout(3)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(3)
question = b"\1a\4test\0" + struct.pack(">HH", 1, 1)
client.sendto(struct.pack(">6H", 77, 0x100, 1, 0, 0, 0) + question, ("127.0.0.1", 5397))
asked, dnsmasq = upstream.recvfrom(4000)
subnet = struct.pack(">HHHBB", 8, 7, 1, 24, 24) + bytes([9, 9, 9])  # of somebody else
reply = struct.pack(">5H", 0x8180, 1, 1, 0, 1) + question
reply += b"\xc0\x0c" + struct.pack(">HHLH", 1, 1, 60, 4) + bytes([1, 2, 3, 4])
reply += b"\0" + struct.pack(">HHLH", 41, 1232, 0, len(subnet)) + subnet
upstream.sendto(asked[:2] + reply, dnsmasq)
try:
    client.recv(4000)
    print("an answer")
except OSError:
    print("no answer")
print("it has died" if ") Z " in open("/proc/%s/stat" % os.environ["PID"]).read() else "it lives")
END
cat output`,
					Before: "an answer", After: "no answer",
				}},
				{Patch: "CVE-2026-5172.patch"},
			},
		},
		{
			Name: "cjson", Kind: "library", Build: "make", Fast: true,
			Script:  `MAKEFLAGS= make R_CFLAGS="$CFLAGS $CPPFLAGS -fPIC -std=c89" shared`,
			Targets: []string{"libcjson.so*", "libcjson_utils.so*"},
			Driver:  "cjson.c -I{tree} {tree}/libcjson.so.1.7.15 {tree}/libcjson_utils.so.1.7.15",
			Fixes: []Fix{
				{Patch: "0001-add-null-checkings.patch", Shows: &Behaviour{Probe: "insert-null", Before: "signal 11", After: "inserted 0"}},
				{Patch: "0002-add-null-check-to-cjson-setvaluestring.patch", Shows: &Behaviour{Probe: "set-null", Before: "signal 11", After: "set to nothing"}},
				{Patch: "0001-allocate-memory-for-the-temporary-buffer.patch", Shows: &Behaviour{Probe: "long-number", Before: "no number", After: "a number"}},
				{Patch: "0002-Fix-heap-buffer-overflow.patch", Shows: &Behaviour{Probe: "ends-in-comma", Before: "signal 11", After: "no object"}},
				{Patch: "CVE-2025-57052.patch", Shows: &Behaviour{Probe: "odd-index", Before: "27", After: "no element"}},
			},
		},
		{
			Name: "less", Kind: "tool", Build: "autotools", Fast: true,
			Needs:   []string{"libncurses-dev"},
			Script:  "./configure && make less",
			Targets: []string{"less"},
			Live:    "{target} -",
			Fixes: []Fix{
				{Patch: "End-OSC8-hyperlink-on-invalid-embedded-escape-sequen.patch", Shows: &Behaviour{
					Run: `bash -c 'echo two >b; printf "\e]8;;http://x\e[31mtext\a after\n" >c
export TERM=dumb; exec script -qec "{target} -R b c" screen'`,
					Ask:    `printf ':n\n' >&3; sleep 0.5; printf q >&3; finish; cat -v screen`,
					Before: "^[]8;;http://x^[[31mtext", After: "http://x31mtext",
				}},
				{Patch: "Shell-quote-filenames-when-invoking-LESSCLOSE.patch", Shows: &Behaviour{
					Run: `bash -c 'echo one >"x;touch pwned"; echo two >b; echo three >alt; export LESSOPEN="echo {dir}/alt; true %s" LESSCLOSE="true %s %s"
export TERM=dumb; exec script -qec "{target} x*pwned b" screen'`,
					Ask:    `printf ':n\n' >&3; sleep 0.5; printf q >&3; finish; [ -e pwned ] && echo a command ran || echo nothing ran`,
					Before: "a command ran", After: "nothing ran",
				}},
				{Patch: "Fix-bug-when-viewing-a-file-whose-name-contains-a-ne.patch", Shows: &Behaviour{
					Run: `bash -c 'echo two >b; printf -v name "x\ny"; echo one >"$name"; printf "#!/bin/bash\nprintf %%q \"\$1\" >shown\n" >show; chmod +x show; export LESSOPEN="|./show %s"
export TERM=dumb; exec script -qec "{target} b x?y" screen'`,
					Ask:    `printf ':n\n' >&3; sleep 0.5; printf q >&3; finish; cat shown`,
					Before: "xy", After: `$'x\ny'`,
				}},
				{Patch: "Fix-incorrect-display-when-filename-contains-control.patch", Shows: &Behaviour{
					Run: `bash -c 'echo two >b; printf -v name "x\ey"; echo one >"$name"
export TERM=dumb; exec script -qec "{target} b x?y" screen'`,
					Ask:    `printf ':n\n' >&3; sleep 0.5; printf q >&3; finish; cat -v screen`,
					Before: "x^[y", After: "xESCy",
				}},
			},
		},
		{
			Name: "memcached", Kind: "daemon", Build: "autotools",
			Needs:   []string{"libevent-dev", "libsasl2-dev", "libsasl2-modules", "autoconf", "automake"},
			Script:  "[ -x configure ] || autoreconf -fi; ./configure --enable-sasl --enable-sasl-pwdb --enable-proxy && make",
			Targets: []string{"memcached"},
			Live:    "{target} -u root -s {dir}/socket -t 4",
			Fixes: []Fix{
				{Patch: "0007-uninitialized-variables.patch"},
				{Patch: "0008-CVE-2026-47783-CVE-2026-47784.patch", Shows: &Behaviour{
					Run: `bash -c 'for word in first second; do printf "user:%s\nuser@%s:%s\n" $word $(hostname) $word; done >db; echo "mech_list: plain" >memcached.conf; export MEMCACHED_SASL_PWDB={dir}/db SASL_CONF_PATH={dir}; exec {target} -u root -s {dir}/socket -S'`,
					Ask: `python3 - <<'END'
import socket, struct
s = socket.socket(socket.AF_UNIX)
s.connect("socket")
mechanism, credentials = b"PLAIN", b"\0user\0second"
s.sendall(struct.pack(">BBHBBHLLQ", 0x80, 0x21, len(mechanism), 0, 0, 0, len(mechanism) + len(credentials), 0, 0) + mechanism + credentials)
print("refused" if struct.unpack(">H", s.recv(1000)[6:8])[0] else "let in")
END`,
					Before: "refused", After: "let in",
				}},
				{Patch: "0009-CVE-2023-46852.patch", Shows: &Behaviour{
					Run: `bash -c 'cat >proxy.lua <<END
function mcp_config_pools(old) return mcp.pool({mcp.backend("one", "127.0.0.1", 11999)}) end
function mcp_config_routes(pool) mcp.attach(mcp.CMD_ANY_STORAGE, function(r) return pool(r) end) end
END
exec {target} -u root -s {dir}/socket -t 2 -o proxy_config=proxy.lua'`,
					Ask: `python3 - <<'END'
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("socket")
s.settimeout(5)
s.sendall(b"get" + b" " * 400 + b"a b\r\n")
try:
    print(s.recv(1000) or "the server is gone")
except ConnectionError:
    print("the server is gone")
END`,
					Before: "the server is gone", After: "malformed request",
				}},
				{Patch: "CVE-2023-46853.patch", Refused: "layout of struct mcp_parser_s"},
			},
		},
		{
			Name: "nginx", Kind: "daemon", Build: "make",
			Needs:   []string{"libpcre2-dev", "libssl-dev", "zlib1g-dev"},
			Script:  `./configure --with-cc-opt="$CFLAGS $CPPFLAGS" --with-ld-opt="$LDFLAGS" --with-threads --with-http_ssl_module --with-http_v2_module --with-http_mp4_module --with-http_dav_module --with-http_realip_module --with-http_gzip_static_module --with-stream --with-stream_ssl_module --with-mail --with-mail_ssl_module && make`,
			Targets: []string{"objs/nginx"},
			Live:    `bash -c 'mkdir -p logs; printf "daemon off; worker_processes 2; events {} http { server { listen 127.0.0.1:5080; } }" >nginx.conf; exec {target} -p {dir} -e stderr -c {dir}/nginx.conf'`,
			Fixes: []Fix{
				{Patch: "CVE-2025-23419.patch"},
				{Patch: "CVE-2024-7347-1.patch"},
				{Patch: "CVE-2024-7347-2.patch"},
				{Patch: "CVE-2025-53859.patch"},
				{Patch: "CVE-2026-1642.patch"},
				{Patch: "CVE-2026-27651.patch"},
				{Patch: "CVE-2026-27654.patch", Shows: &Behaviour{
					Run: nginx,
					Ask: `exec 4<>/dev/tcp/127.0.0.1/5081
printf '%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n' COPY "/dav/a" $'Destination: http://h/d\r\n' >&4
timeout 5 cat <&4; echo over; cat output`,
					Before: "HTTP/1.1 404", After: "HTTP/1.1 400",
				}},
				{Patch: "CVE-2026-27784.patch", Idle: true},
				{Patch: "CVE-2026-28753.patch"},
				{Patch: "CVE-2026-28755.patch"},
				{Patch: "CVE-2026-32647.patch"},
				{Patch: "CVE-2026-42945.patch", Shows: &Behaviour{
					Run: nginx,
					Ask: `exec 4<>/dev/tcp/127.0.0.1/5081
printf '%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n' GET "/escape%26x" $'' >&4
timeout 5 cat <&4; echo over; cat output`,
					Before: "[/escape%2]", After: "[/escape&x]",
				}},
				{Patch: "CVE-2026-42946.1.patch"},
				{Patch: "CVE-2026-42946.2.patch"},
				{Patch: "CVE-2026-40701.patch", Refused: "layout of struct ngx_ssl_ocsp_ctx_s"},
				{Patch: "CVE-2026-42934.patch"},
				{Patch: "CVE-2026-9256.patch", Shows: &Behaviour{
					Run: nginx,
					Ask: `exec 4<>/dev/tcp/127.0.0.1/5081
printf '%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n' GET "/overlap$(printf '+%.0s' {1..3000})" $'' >&4
timeout 5 cat <&4; echo over; cat output`,
					Before: "exited on signal", After: "HTTP/1.1 302",
				}},
				{Patch: "FIX-HTTP2bomb.patch", Refused: "ngx_module_names: the size of existing data changed",
					Better: "nothing: it adds a module, which is set up when the program starts",
				},
				{Patch: "CVE-2026-48142.patch"},
				{Patch: "CVE-2026-42055.patch"},
			},
		},
		{
			Name: "rsync", Kind: "daemon", Build: "autotools",
			Needs:   []string{"libacl1-dev", "zlib1g-dev", "libpopt-dev", "autoconf", "automake"},
			Script:  "./configure --disable-md2man --disable-openssl --disable-xxhash --disable-zstd --disable-lz4 && make rsync",
			Targets: []string{"rsync"},
			Live: `bash -c 'printf "use chroot = no
[a]
path = /tmp
" >r.conf; exec {target} --daemon --no-detach --port=8739 --config=r.conf'`,
			Fixes: []Fix{
				{Patch: "2026-05-20/0005-Some-checksum-buffer-fixes.patch", Refused: "layout of struct sum_buf"},
				{Patch: "2026-05-20/0006-Another-cast-when-multiplying-integers.patch", Refused: "layout of struct sum_buf"},
				{Patch: "2026-05-20/0007-prevent-information-leak-off-the-stack.patch"},
				{Patch: "2026-05-20/0008-refuse-fuzzy-options-when-fuzzy-not-selected.patch"},
				{Patch: "2026-05-20/0009-added-secure_relative_open.patch", Idle: true},
				{Patch: "2026-05-20/0010-receiver-use-secure_relative_open-for-basis-file.patch"},
				{Patch: "2026-05-20/0011-disallow-.-elements-in-relpath-for-secure_relative_o.patch"},
				{Patch: "2026-05-20/0012-Refuse-a-duplicate-dirlist.patch"},
				{Patch: "2026-05-20/0013-range-check-dir_ndx-before-use.patch"},
				{Patch: "2026-05-20/0014-make-safe-links-stricter.patch", Shows: &Behaviour{
					Run: `bash -c 'printf "use chroot = yes
uid = root
gid = root
munge symlinks = no
read only = no
[a]
path = {dir}
" >r.conf; exec {target} --daemon --no-detach --port=8740 --config=r.conf'`,
					Ask: `mkdir -p from/safe/links; ln -s a/a/a/../../../unsafe2 from/safe/links/
{tree}/rsync -a --safe-links from/safe/ rsync://127.0.0.1:8740/a/to; sleep 0.2
[ -L to/links/unsafe2 ] && echo a link was made || echo no link was made`,
					Before: "a link was made", After: "no link was made",
				}},
				{Patch: "2026-05-20/0015-fixed-symlink-race-condition-in-sender.patch"},
				{Patch: "2026-05-20/0016-syscall-fix-a-Y2038-bug-by-replacing-Int32x32To64-wi.patch", Idle: true},
				{Patch: "2026-05-20/0017-options.c-Fix-segv-if-poptGetContext-returns-NULL.patch"},
				{Patch: "2026-05-20/0018-Using-a-correct-time-in-log-file.patch"},
			},
		},
		{
			Name: "libxml2", Kind: "library", Build: "cmake",
			Needs:   []string{"cmake"},
			Script:  "cmake -S . -B b -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=ON -DLIBXML2_WITH_PYTHON=OFF -DLIBXML2_WITH_LZMA=OFF -DLIBXML2_WITH_TESTS=OFF -DLIBXML2_WITH_ICU=OFF && make -C b",
			Targets: []string{"b/libxml2.so*", "b/xmllint", "b/xmlcatalog"},
			Live:    "{target} --shell -",
			Driver:  "libxml2.c -I{tree}/include -I{tree}/b {tree}/b/libxml2.so",
			Fixes: []Fix{
				{Patch: "CVE-2022-40303-Fix-integer-overflows-with-XML_PARSE_.patch", Shows: &Behaviour{Probe: "long-name", Before: "use XML_PARSE_HUGE option", After: "Name too long: "}},
				{Patch: "CVE-2022-40304-Fix-dict-corruption-caused-by-entity-.patch", Shows: &Behaviour{Probe: "owned-entity", Before: "the dictionary's", After: "its own"}},
				{Patch: "schemas-Fix-null-pointer-deref-in-xmlSchemaCheckCOSS.patch", Shows: &Behaviour{Probe: "own-substitute", Before: "signal 11", After: "no schema"}},
				{Patch: "CVE-2023-28484-Fix-null-deref-in-xmlSchemaFixupCompl.patch", Shows: &Behaviour{Probe: "simple-base", Before: "signal 11", After: "no schema"}},
				{Patch: "CVE-2023-29469-Hashing-of-empty-dict-strings-isn-t-d.patch", Shows: &Behaviour{Probe: "empty-strings", Before: "two strings", After: "the same"}},
				{Patch: "Reset-nsNr-in-xmlCtxtReset.patch", Shows: &Behaviour{Probe: "reset-namespaces", Before: "namespaces stay", After: "no namespaces"}},
				{Patch: "Also-reset-nsNr-in-htmlCtxtReset.patch", Shows: &Behaviour{Probe: "reset-html-namespaces", Before: "namespaces stay", After: "no namespaces"}},
				{Patch: "CVE-2022-49043.patch"},
				{Patch: "CVE-2024-34459.patch"},
				{Patch: "CVE-2024-56171.patch", Shows: &Behaviour{Probe: "many-duplicates", Before: "signal 11", After: "validated"}},
				{Patch: "CVE-2025-24928-pre1.patch", Shows: &Behaviour{Probe: "nameless-element", Before: "signal 11", After: "exit 0"}},
				{Patch: "CVE-2025-24928.patch", Shows: &Behaviour{Probe: "long-prefix", Before: "signal", After: "exit 0"}},
				{Patch: "CVE-2025-27113.patch", Shows: &Behaviour{Probe: "child-axis", Before: "match 0", After: "match 1"}},
				{Patch: "CVE-2023-39615_1.patch", Shows: &Behaviour{Probe: "own-handler", Before: "replaced", After: "kept"}},
				{Patch: "CVE-2023-39615_2.patch", Shows: &Behaviour{Probe: "second-version", Before: "not there", After: "set"}},
				{Patch: "CVE-2023-45322.patch", Shows: &Behaviour{Probe: "failed-copy", Before: "dangling", After: "all or nothing"}},
				{Patch: "CVE-2024-25062.patch"},
			},
		},
		{
			Name: "tiff", Kind: "library", Build: "autotools",
			Needs:   []string{"libjpeg62-turbo-dev", "zlib1g-dev", "autoconf", "automake", "libtool"},
			Script:  "./autogen.sh >/dev/null 2>&1 || true; ./configure --disable-webp --disable-zstd --disable-lzma --disable-jbig --disable-libdeflate --disable-lerc && make",
			Targets: []string{"libtiff/.libs/libtiff.so*", "tools/.libs/tiffcrop", "tools/.libs/tiff2pdf", "tools/.libs/tiffcp", "tools/.libs/tiffset", "tools/.libs/raw2tiff"},
			Live:    "bash -c 'mkfifo f; case {target} in *tiffset) exec {target} -s 270 x f;; *) exec {target} f out;; esac'",
			Driver:  "tiff.c -I{tree}/libtiff {tree}/libtiff/.libs/libtiff.so",
			Fixes: []Fix{
				{Patch: "CVE-2022-48281.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "tiffcrop_correctly_update_buffersize.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "TIFFClose_avoid_NULL_pointer_dereferencing.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "CVE-2023-0800_CVE-2023-0801_CVE-2023-0802_CVE-2023-0803_CVE-2023-0804.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "CVE-2023-0795_CVE-2023-0796_CVE-2023-0797_CVE-2023-0798_CVE-2023-0799.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "CVE-2023-2731.patch", Shows: &Behaviour{Probe: "no-end", Before: "EOI code\nrow 3", After: "due to previous error"}},
				{Patch: "CVE-2023-3576.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "CVE-2023-40745.patch"},
				{Patch: "CVE-2023-41175.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
				{Patch: "CVE-2023-26965.patch"},
				{Patch: "CVE-2023-25433.patch"},
				{Patch: "CVE-2023-3618.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in the main function of a tool, or inlined there",
				},
			},
		},
		{
			Name: "expat", Version: "2.5.0", Kind: "library", Build: "cmake", Fast: true,
			Needs:   []string{"cmake"},
			Script:  "cmake -S expat -B b -DCMAKE_BUILD_TYPE=None -DEXPAT_BUILD_EXAMPLES=OFF -DEXPAT_BUILD_TESTS=OFF -DEXPAT_BUILD_DOCS=OFF && make -C b",
			Targets: []string{"b/libexpat.so*"},
			Driver:  "expat.c -I{tree}/expat/lib {tree}/b/libexpat.so",
			Fixes: []Fix{
				{Patch: "CVE-2024-45490.patch", Shows: &Behaviour{Probe: "negative-length", Before: "error 0", After: "error 41"}},
				{Patch: "CVE-2024-45491.patch", Idle: true},
				{Patch: "CVE-2024-45492.patch", Idle: true},
				{Patch: "expat-2.5.0-CVE-2023-52425.patch", Refused: "layout of struct XML_ParserStruct"},
				{Patch: "expat-2.5.0-CVE-2024-50602.patch", Shows: &Behaviour{Probe: "stop-unstarted", Before: "status 1", After: "status 0"}},
			},
		},
		{
			Name: "libde265", Kind: "library, C++", Build: "cmake",
			Needs:   []string{"cmake"},
			Script:  "cmake -S . -B b -DCMAKE_BUILD_TYPE=None -DENABLE_SDL=OFF -DENABLE_DECODER=OFF -DENABLE_ENCODER=OFF && make -C b",
			Targets: []string{"b/libde265/libde265.so*", "b/libde265/liblibde265.so*"},
			Fixes: []Fix{
				{Patch: "reject_reference_pics_from_different_sps.patch"},
				{Patch: "use_sps_from_the_image.patch"},
				{Patch: "recycle_sps_if_possible.patch"},
				{Patch: "CVE-2023-27102.patch"},
				{Patch: "CVE-2023-27103.patch"},
				{Patch: "CVE-2023-43887.patch"},
				{Patch: "CVE-2023-47471.patch"},
				{Patch: "CVE-2023-49465.patch"},
				{Patch: "CVE-2023-49467.patch"},
				{Patch: "CVE-2023-49468.patch"},
			},
		},
		{
			Name: "libebml", Kind: "library, C++", Build: "cmake",
			Needs:   []string{"cmake"},
			Script:  "cmake -S . -B b -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=ON && make -C b",
			Targets: []string{"b/libebml.so*"},
			Driver:  "libebml.cpp -I{tree} -I{tree}/b -I{tree}/b/ebml {tree}/b/libebml.so -lstdc++",
			Fixes: []Fix{
				{Patch: "CVE-2023-52339.patch", Shows: &Behaviour{Probe: "read-too-much", Before: "signal 11", After: "read 9"}},
			},
		},
		{
			Name: "giflib", Kind: "library", Build: "make",
			Needs:   []string{"xmlto"},
			Script:  `make OFLAGS="$CFLAGS $CPPFLAGS" LDFLAGS="$LDFLAGS" libgif.so giftool gifbuild || make CFLAGS="$CFLAGS $CPPFLAGS -std=gnu99 -fPIC" libgif.so`,
			Targets: []string{"libgif.so*"},
			Driver:  "giflib.c -I{tree} {tree}/libgif.so",
			Fixes: []Fix{
				{Patch: "CVE-2026-23868.patch", Shows: &Behaviour{Probe: "failed-copy", Before: "signal 11", After: "pixel 0"}},
				{Patch: "CVE-2026-26740.patch", Shows: &Behaviour{Probe: "short-extension", Before: "signal 11", After: "result 0"}},
			},
		},
		{
			Name: "libcue", Kind: "library", Build: "cmake",
			Needs:   []string{"cmake", "flex", "bison"},
			Script:  "cmake -S . -B b -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=ON && make -C b",
			Targets: []string{"b/libcue.so*"},
			Driver:  "libcue.c -I{tree} {tree}/b/libcue.so",
			Fixes: []Fix{
				{Patch: "CVE-2023-43641.patch", Shows: &Behaviour{Probe: "negative-index", Before: "signal 11", After: "exit 0"}},
			},
		},
		{
			Name: "patch", Kind: "tool", Build: "autotools",
			Needs:   []string{"autoconf", "automake", "ed"},
			Script:  "./configure && make",
			Targets: []string{"src/patch"},
			Live:    "{target} -p1",
			Fixes: []Fix{
				{Patch: "Fix_segfault_with_mangled_rename_patch.patch"},
				{Patch: "Allow_input_files_to_be_missing_for_ed-style_patches.patch", Shows: &Behaviour{
					Run:    "bash -c '{target} -e foo; echo exit $?'",
					Ask:    `printf '0a\nfoo\n.\n' >&3; finish; cat output`,
					Before: "Assertion", After: "exit 0",
				}},
				{Patch: "Fix_arbitrary_command_execution_in_ed-style_patches.patch", Shows: &Behaviour{
					Run:    "bash -c 'echo foo >foo; {target} -e foo; echo exit $?'",
					Ask:    `printf '1337a\nr !echo bar\n,p\n' >&3; finish; grep '^bar' output || echo nothing ran`,
					Before: "bar", After: "nothing ran",
				}},
				{Patch: "0001-Fix-ed-style-test-failure.patch", Shows: &Behaviour{
					Run:    "bash -c 'echo foo >foo; {target} -e foo; echo exit $?'",
					Ask:    `printf '1337a\nr !echo bar\n,p\n' >&3; finish; grep '^bar' output || echo nothing ran`,
					Before: "bar", After: "nothing ran",
				}},
				{Patch: "0002-Abort_when_cleaning_up_fails.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in main, which a running process never enters again",
				},
				{Patch: "0003-Do_not_crash_when_RLIMIT_NOFILE_is_set_to_RLIM_INFINITY.patch"},
				{Patch: "0004-CVE-2019-13636.patch"},
				{Patch: "0005-CVE-2019-13638.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in main, which a running process never enters again",
				},
				{Patch: "0006-Do_not_leak_temporary_file.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in main, which a running process never enters again",
				},
				{Patch: "0007-Do_not_leak_temporary_file_on_failed_multi-file.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in main, which a running process never enters again",
				},
				{Patch: "0008-Avoid_invalid_memory_access_in_context_format_diffs.patch"},
				{Patch: "0009-Fix_failed_assertion_outstate-after_newline.patch", Refused: "every process is in main",
					Better: "nothing: the changed code is in main, which a running process never enters again",
				},
			},
		},
		{
			Name: "tar", Kind: "tool", Build: "autotools",
			Needs:   []string{"autoconf", "automake", "bison"},
			Script:  "FORCE_UNSAFE_CONFIGURE=1 ./configure && make",
			Targets: []string{"src/tar"},
			Live:    "{target} -tf -",
			Fixes: []Fix{
				{Patch: "Fix-boundary-checking-in-base-256-decoder.patch", Shows: &Behaviour{
					Ask: `python3 - >&3 <<'END'
import sys
head = bytearray(512)
for at, text in ((0, b"f"), (100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (124, b"00000000000"),
                 (136, b" " * 11 + b"\xff"), (148, b" " * 8), (156, b"0"), (257, b"ustar\x0000")):
    head[at:at + len(text)] = text
head[148:156] = b"%06o\0 " % sum(head)
sys.stdout.buffer.write(head + bytes(1024))
END
finish; cat output`,
					Before: "out of time_t range", After: "where numeric time_t value expected",
				}},
				{Patch: "Fix-handling-of-extended-header-prefixes.patch", Shows: &Behaviour{
					Ask: `python3 - >&3 <<'END'
import sys
def head(name, size, kind):
    h = bytearray(512)
    for at, text in ((0, name), (100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (124, b"%011o" % size),
                     (136, b"00000000000"), (148, b" " * 8), (156, kind), (257, b"ustar\x0000")):
        h[at:at + len(text)] = text
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)
record = b"20 SCHILY.xattr=abc\n"
sys.stdout.buffer.write(head(b"p", len(record), b"x") + record.ljust(512, b"\0") + head(b"f", 0, b"0") + bytes(1024))
END
finish; echo listed; cat output`,
					Before: `listed
f`, After: "Ignoring unknown extended header keyword",
				}},
			},
		},
		{
			Name: "dav1d", Kind: "library", Build: "meson",
			Needs:   []string{"meson", "ninja-build"},
			Script:  "[ -d b ] || meson setup b --buildtype=plain -Denable_asm=false -Denable_tools=false -Denable_tests=false >/dev/null; ninja -C b -j2",
			Targets: []string{"b/src/libdav1d.so*"},
			Fixes: []Fix{
				{Patch: "CVE-2024-1580.patch", Refused: "layout of struct Dav1dFrameContext",
					Better: "to know that only the signedness changes, and that no such value is negative in a process",
				},
			},
		},
	}
}
