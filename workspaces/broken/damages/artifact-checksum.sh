# On repository-v1, gives: artifact-checksum (with --checksum)
f='artifacts/specimen%2Fraw@1/readings/city=oslo,month=1~c1c97b898a88ab9256f680ba-1.csv'
chmod u+w "$f"
printf x | dd of="$f" bs=1 seek=8 conv=notrunc 2>/dev/null
