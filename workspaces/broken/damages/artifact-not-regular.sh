# On repository-v1, gives: artifact-not-regular
rm -f 'artifacts/specimen%2Fraw@1/readings/city=oslo,month=1~c1c97b898a88ab9256f680ba-1.csv'
mkdir 'artifacts/specimen%2Fraw@1/readings/city=oslo,month=1~c1c97b898a88ab9256f680ba-1.csv'
