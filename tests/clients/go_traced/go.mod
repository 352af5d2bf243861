module pyproxy.test/traced

go 1.19
